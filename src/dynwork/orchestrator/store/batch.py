"""The unit of work of one transaction: rows locked, changed in Python by the pure rules, written back together.

Locks are taken in one order everywhere, so that orchestrators side by side never wait for each other in a circle: the
leadership, workers by id, new workers, instances by id, jobs by id in ONE pass (their ids are looked up before, without
locks), new jobs by key and id, what nobody else has locked (claims), this writer's totals, and last the cluster's row
(the feed counter). A job changes only through :meth:`Batch.step` or enters through :meth:`Batch.add`; both keep account
of what the transaction does to the totals. Nothing is written before :meth:`Batch.flush`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from sqlalchemy import Connection, bindparam, insert, select, update

from dynwork.orchestrator.core import machine
from dynwork.orchestrator.core.instance import LEAVING
from dynwork.orchestrator.core.job import Instant, Job, JobState
from dynwork.orchestrator.core.worker import Worker, WorkerFacts, WorkerState
from dynwork.orchestrator.store import tables, tally
from dynwork.orchestrator.store.rows import (
    LEASED,
    SELECT_JOB,
    SELECT_WORKER,
    UPDATE_JOB,
    changes_of,
    columns_of,
    in_lists,
    job_of,
    worker_columns,
    worker_of,
)
from dynwork.orchestrator.store.values import Rules

LIMIT_NONE = 2**31 - 1
"""More leases than one worker can hold."""

_j, _w = tables.job.c, tables.worker.c
_JOBS_BY_ID = SELECT_JOB.where(_j.job_id.in_(bindparam("ids", expanding=True))).order_by(_j.job_id).with_for_update()
_LEASES_OF = (
    select(_j.job_id)
    .where(_j.state == LEASED, _j.worker_id.in_(bindparam("ids", expanding=True)))
    .order_by(_j.job_id)
    .limit(bindparam("limit"))
)
_INSTANCES = (
    select(tables.instance.c.instance_id, tables.instance.c.state)
    .where(tables.instance.c.instance_id.in_(bindparam("ids", expanding=True)))
    .order_by(tables.instance.c.instance_id)
    .with_for_update(read=True)
)
_WORKERS_BY_ID = (
    SELECT_WORKER.where(_w.worker_id.in_(bindparam("ids", expanding=True))).order_by(_w.worker_id).with_for_update()
)
_INSERT_JOB = insert(tables.job)
_INSERT_WORKER = insert(tables.worker)
_UPDATE_WORKER = (
    update(tables.worker)
    .where(_w.worker_id == bindparam("at"))
    .values({column.name: bindparam(column.name) for column in _w if column.name != "worker_id"})
)
_TAKE_POSITIONS = (
    update(tables.cluster)
    .values(position=tables.cluster.c.position + bindparam("taken"))
    .returning(tables.cluster.c.position)
)


class Batch:
    """One transaction's view of jobs and workers, and what it changed."""

    def __init__(self, conn: Connection, rules: Rules, now: Instant, shard: str) -> None:
        """``shard`` names the rows of the totals that this writer keeps."""
        self.conn = conn
        self.rules = rules
        self.now = now
        self.jobs: dict[str, Job] = {}
        self.workers: dict[str, Worker] = {}
        self.leases: defaultdict[str, set[str]] = defaultdict(set)
        self.leaving: set[str | None] = set()
        self.ended: list[str] = []
        self.shard = shard
        self._new: set[str] = set()
        self._dirty: set[str] = set()
        self._known_workers: set[str] = set()
        self._dirty_workers: set[str] = set()
        self._before: dict[str, JobState | None] = {}
        self._totals: defaultdict[str, Counter[str]] = defaultdict(Counter)

    # -- locking, which is loading
    def lock_workers(self, worker_ids: Iterable[str]) -> None:
        """Lock and load the workers that exist."""
        for ids in in_lists(set(worker_ids) - self._known_workers):
            for row in self.conn.execute(_WORKERS_BY_ID, {"ids": ids}):
                self.workers[row.worker_id] = worker_of(row)
                self._known_workers.add(row.worker_id)

    def enter_workers(self, facts: Mapping[str, WorkerFacts]) -> None:
        """Make rows for those that are not known, before any job is locked; their own commands then fill them in."""
        if new := [facts[worker_id] for worker_id in sorted(facts.keys() - self._known_workers)]:
            rows = [worker_columns(Worker(one, WorkerState.READY, self.now, self.now, self.now)) for one in new]
            self.conn.execute(_INSERT_WORKER, rows)
        self._known_workers |= facts.keys()

    def lock_instances(self, instance_ids: Iterable[str | None]) -> None:
        """Lock the instances that exist, that none begins to leave while its worker is given work.

        :attr:`leaving` then holds those whose workers get nothing more.
        """
        for ids in in_lists(instance_id for instance_id in instance_ids if instance_id is not None):
            for row in self.conn.execute(_INSTANCES, {"ids": ids}):
                if row.state in LEAVING:
                    self.leaving.add(row.instance_id)

    def leased_to(self, worker_ids: Iterable[str], limit: int | None = None) -> list[str]:
        """Look up the ids of the jobs leased to these workers, which are locked: all, or the first ``limit`` by id."""
        found: list[str] = []
        for ids in in_lists(worker_ids):
            found += self.conn.scalars(_LEASES_OF, {"ids": ids, "limit": limit or LIMIT_NONE})
        return sorted(found)[:limit]

    def lock_jobs(self, job_ids: Iterable[str]) -> None:
        """Lock and load the jobs that exist, in one pass; :attr:`leases` then holds those that are leased."""
        for ids in in_lists(set(job_ids) - self.jobs.keys()):
            for row in self.conn.execute(_JOBS_BY_ID, {"ids": ids}):
                self._loaded(job_of(row))

    def take(self, job: Job) -> None:
        """Take in a job that was locked by its own statement (a claim)."""
        if job.job_id not in self.jobs:
            self._loaded(job)

    def is_queued(self, job_id: str) -> bool:
        """Say whether a job that is queued in the store is so for this transaction, which may not have written yet."""
        return job_id not in self.jobs or self.jobs[job_id].state is JobState.QUEUED

    def _loaded(self, job: Job) -> None:
        if job.job_id in self.jobs:
            return
        self.jobs[job.job_id] = job
        self._before[job.job_id] = job.state
        self._keep_lease(job)

    # -- changing
    def step(self, job_id: str, event: machine.Event) -> Job:
        """Let ``event`` happen to a loaded job; return it as it is then."""
        before = self.jobs[job_id]
        after = machine.step(before, event, self.now, self.rules.retry)
        if after is not before:
            self._put(before, after)
        return after

    def add(self, job: Job) -> None:
        """Take in a new job."""
        self._new.add(job.job_id)
        self._before[job.job_id] = None
        self._totals[job.kind]["submitted"] += 1
        self._put(None, job)

    def put_worker(self, worker: Worker) -> None:
        """Take in a new or changed worker."""
        self.workers[worker.facts.worker_id] = worker
        self._dirty_workers.add(worker.facts.worker_id)

    def _put(self, before: Job | None, after: Job) -> None:
        self.jobs[after.job_id] = after
        self._dirty.add(after.job_id)
        if before is not None:
            self._count(before, -1)
            if before.lease.worker_id is not None:
                self.leases[before.lease.worker_id].discard(before.job_id)
        self._count(after, +1)
        self._keep_lease(after)
        if after.terminal and not (before is not None and before.terminal):
            self.ended.append(after.job_id)
            self._totals[after.kind]["completed"] += after.state is JobState.SUCCEEDED

    def _keep_lease(self, job: Job) -> None:
        if job.state is JobState.LEASED and job.lease.worker_id is not None:
            self.leases[job.lease.worker_id].add(job.job_id)

    def _count(self, job: Job, sign: int) -> None:
        totals = self._totals[job.kind]
        totals[job.state.value] += sign
        if not job.terminal:
            totals["backlog_steps"] += sign * job.chain.remaining

    @property
    def claimable(self) -> int:
        """Jobs that are queued and due now and were not queued before this transaction."""
        return sum(
            1
            for job_id, state in self._before.items()
            if state is not JobState.QUEUED
            and (job := self.jobs[job_id]).state is JobState.QUEUED
            and job.not_before <= self.now
        )

    @property
    def queued_here(self) -> int:
        """By how many this transaction has raised the number of queued jobs so far."""
        return sum(totals[JobState.QUEUED.value] for totals in self._totals.values())

    # -- writing
    def flush(self) -> None:
        """Write what has changed so far, so that this transaction's own queries see it.

        A job that ended waits for its position in the feed, which :meth:`close` gives. A new one that has a key takes
        its place now, as if it were queued: who inserts that key, too, must not be waited for with the counter in hand.
        """
        self._flush_workers()
        dirty = [self.jobs[job_id] for job_id in sorted(self._dirty)]
        ready = {job.job_id for job in dirty if not job.terminal or job.position is not None}
        new = [job for job in dirty if job.job_id in self._new and (job.job_id in ready or job.key is not None)]
        changed = [changes_of(job) for job in dirty if job.job_id in ready - self._new]
        if new:
            queued = {"state": JobState.QUEUED.value, "completed_at": None}
            rows = [columns_of(job) | ({} if job.job_id in ready else queued) for job in sorted(new, key=_insert_order)]
            self.conn.execute(_INSERT_JOB, rows)
        if changed:
            self.conn.execute(UPDATE_JOB, changed)
        self._new.difference_update(job.job_id for job in new)
        self._dirty -= ready

    def _flush_workers(self) -> None:
        rows = [worker_columns(self.workers[worker_id]) for worker_id in sorted(self._dirty_workers)]
        if rows:
            self.conn.execute(_UPDATE_WORKER, [{**row, "at": row.pop("worker_id")} for row in rows])
        self._dirty_workers.clear()

    def close(self) -> None:
        """Write everything and give the jobs that ended their positions in the feed.

        The counter's row comes last: what is written after it is locked already, or new and without a key.
        """
        tally.add(self.conn, self.shard, self._totals)
        self.flush()
        if self.ended:
            last = self.conn.execute(_TAKE_POSITIONS, {"taken": len(self.ended)}).scalar_one()
            for position, job_id in enumerate(self.ended, start=last - len(self.ended) + 1):
                self.jobs[job_id] = replace(self.jobs[job_id], position=position)
        self.flush()


def _insert_order(job: Job) -> tuple[str, str, str]:
    """Two that insert the same keys, or the same jobs, meet in the same order: one waits, and no circle closes."""
    return (job.owner, job.key or "", job.job_id)
