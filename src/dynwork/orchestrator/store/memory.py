"""The reference store: the contract of :mod:`.port`, in dicts, as plainly as it can be said.

It is the specification that can be run: every other store is driven against it and must answer alike. So nothing here
is clever: one command is carried out after the other (:mod:`.memory_round`), queues are sorted when they are needed,
totals are counted when they are asked for. A transaction works on a copy that replaces the books when it succeeds;
since all values are immutable, copying the dicts is enough. Nothing survives the process; ``close`` and ``open`` keep
everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import takewhile

from dynwork import ids
from dynwork.errors import CursorExpiredError, StaleLeaderError
from dynwork.orchestrator.core import instance
from dynwork.orchestrator.core.backlog import Backlog
from dynwork.orchestrator.core.instance import Drained, Instance, InstanceState
from dynwork.orchestrator.core.job import Instant, Job, JobState
from dynwork.orchestrator.core.worker import Worker, WorkerState
from dynwork.orchestrator.store.commands import Receipt, Round
from dynwork.orchestrator.store.memory_books import Books, Leadership
from dynwork.orchestrator.store.memory_round import Transaction
from dynwork.orchestrator.store.port import FeedPage, Rules, Swept, Totals


class MemoryStore:
    """A :class:`~dynwork.orchestrator.store.port.Store` in memory; every method as the port describes it."""

    def __init__(self, rules: Rules | None = None, cluster_id: str | None = None) -> None:
        self._rules = rules or Rules()
        self._cluster_id = cluster_id or ids.new_id()
        self._books = Books()

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""

    async def cluster_id(self) -> str:
        """See :meth:`Store.cluster_id`."""
        return self._cluster_id

    @contextmanager
    def _transaction(self, now: Instant) -> Iterator[Transaction]:
        draft = self._books.copy()
        yield Transaction(draft, self._rules, now)
        self._books = draft

    # -- the way of a job
    async def commit(self, round_: Round, now: Instant) -> Receipt:
        """See :meth:`Store.commit`."""
        with self._transaction(now) as work:
            verdicts = [work.report(item) for item in round_.reports]
            pulses = [work.heartbeat(item) for item in round_.heartbeats]
            cancels = [work.cancel(item) for item in round_.cancels]
            submissions = [work.submit(item) for item in round_.submissions]
            grants = [work.ask(item) for item in round_.asks]
        return Receipt(verdicts, pulses, cancels, submissions, grants, work.claimable, work.ended)

    async def expire(self, now: Instant, limit: int) -> Swept:
        """See :meth:`Store.expire`."""
        with self._transaction(now) as work:
            silent = [worker_id for worker_id, worker in work.books.workers.items() if worker.lease_until < now]
            swept = work.lose(silent, limit)
        return replace(swept, more=swept.expired == limit)

    async def worker_gone(self, worker_id: str, now: Instant) -> Swept:
        """See :meth:`Store.worker_gone`."""
        with self._transaction(now) as work:
            return work.lose([worker_id], None)

    async def retire(self, before: Instant, limit: int) -> int:
        """See :meth:`Store.retire`."""
        with self._transaction(before) as work:
            old = list(takewhile(lambda job: (job.completed_at or 0.0) < before, _ended(work.books)[:limit]))
            for job in old:
                del work.books.jobs[job.job_id]
                work.books.retired = job.position or 0
        return len(old)

    async def forget_workers(self, before: Instant) -> int:
        """See :meth:`Store.forget_workers`."""
        with self._transaction(before) as work:
            gone = [
                worker_id
                for worker_id, worker in work.books.workers.items()
                if worker.state is WorkerState.LOST
                and worker.last_seen_at < before
                and not work.books.leases_of(worker_id)
            ]
            for worker_id in gone:
                del work.books.workers[worker_id]
        return len(gone)

    async def next_due(self, now: Instant) -> Instant | None:
        """See :meth:`Store.next_due`."""
        return min((job.not_before for job in self._books.jobs.values() if job.state is JobState.QUEUED), default=None)

    # -- reads
    async def job(self, owner: str, job_id: str) -> Job | None:
        """See :meth:`Store.job`."""
        job = self._books.jobs.get(job_id)
        return job if job is not None and job.owner == owner else None

    async def newest_succeeded(self, owner: str, top: int) -> Sequence[Job]:
        """See :meth:`Store.newest_succeeded`."""
        own = [job for job in _ended(self._books) if job.owner == owner and job.state is JobState.SUCCEEDED]
        return own[::-1][:top]

    async def feed(self, owner: str, after: int | None, limit: int) -> FeedPage:
        """See :meth:`Store.feed`."""
        if after is not None and after < self._books.retired:
            raise CursorExpiredError(f"results up to position {self._books.retired} are no longer kept")
        own = [job for job in _ended(self._books) if job.owner == owner and (job.position or 0) > (after or 0)]
        if len(own) < limit:
            return FeedPage(own, self._books.ended)
        return FeedPage(own[:limit], own[limit - 1].position or 0)

    async def totals(self) -> Totals:
        """See :meth:`Store.totals`."""
        jobs = self._books.jobs.values()
        states = [job.state for job in jobs]
        return Totals(
            queued=states.count(JobState.QUEUED),
            leased=states.count(JobState.LEASED),
            succeeded=states.count(JobState.SUCCEEDED),
            dead=states.count(JobState.DEAD),
            cancelled=states.count(JobState.CANCELLED),
            backlog=_backlog([job for job in jobs if not job.terminal]),
            submitted=self._books.submitted,
            completed=self._books.completed,
        )

    async def workers(self) -> Sequence[Worker]:
        """See :meth:`Store.workers`."""
        return [
            replace(worker, leases=len(self._books.leases_of(worker_id)))
            for worker_id, worker in sorted(self._books.workers.items())
        ]

    # -- the fleet
    async def lead(self, holder: str, now: Instant, ttl_s: float) -> int | None:
        """See :meth:`Store.lead`."""
        with self._transaction(now) as work:
            present = work.books.leadership
            if present is None:
                epoch = 1
            elif present.holder == holder:
                epoch = present.epoch
            elif present.until <= now:
                epoch = present.epoch + 1
            else:
                return None
            work.books.leadership = Leadership(holder, epoch, now + ttl_s)
        return epoch

    async def instances(self) -> Sequence[Instance]:
        """See :meth:`Store.instances`."""
        known = self._books.instances.values()
        standing = [one for one in known if one.state is not InstanceState.ENDED]
        return sorted(standing, key=lambda one: (one.intended_at, one.instance_id))

    async def intend(self, epoch: int, instance_id: str, fleet_max: int, now: Instant) -> Instance | None:
        """See :meth:`Store.intend`."""
        with self._act(epoch, now) as books:
            if instance_id in books.instances:
                return books.instances[instance_id]
            if sum(one.state is not InstanceState.ENDED for one in books.instances.values()) >= fleet_max:
                return None
            books.instances[instance_id] = Instance(instance_id, InstanceState.INTENDED, now)
        return books.instances[instance_id]

    async def instance_event(
        self, epoch: int, instance_id: str, event: instance.Event, now: Instant
    ) -> Instance | None:
        """See :meth:`Store.instance_event`."""
        with self._act(epoch, now) as books:
            if instance_id not in books.instances:
                return None
            books.instances[instance_id] = instance.step(books.instances[instance_id], event, now)
        return books.instances[instance_id]

    async def drain_if_idle(self, epoch: int, instance_id: str, reason: str, now: Instant) -> bool:
        """See :meth:`Store.drain_if_idle`."""
        with self._act(epoch, now) as books:
            known = books.instances.get(instance_id)
            its = [worker for worker in books.workers.values() if worker.facts.instance_id == instance_id]
            if known is None or any(books.leases_of(worker.facts.worker_id) for worker in its):
                return False
            after = instance.step(known, Drained(reason), now)
            if after.state is not InstanceState.DRAINING:
                return False
            books.instances[instance_id] = after
            for worker in its:
                if worker.state is not WorkerState.LOST:
                    books.workers[worker.facts.worker_id] = replace(worker, state=WorkerState.DRAINING)
        return True

    @contextmanager
    def _act(self, epoch: int, now: Instant) -> Iterator[Books]:
        """A transaction under the leadership of ``epoch``."""
        with self._transaction(now) as work:
            present = work.books.leadership
            if present is None or present.epoch != epoch:
                raise StaleLeaderError(f"leadership {epoch} has passed; nothing was changed")
            yield work.books


def _backlog(jobs: Sequence[Job]) -> dict[str, Backlog]:
    """The work ahead in jobs that have not ended, by kind."""
    return {
        kind: Backlog(
            queued=sum(job.state is JobState.QUEUED for job in jobs if job.kind == kind),
            steps=float(sum(job.chain.remaining for job in jobs if job.kind == kind)),
        )
        for kind in {job.kind for job in jobs}
    }


def _ended(books: Books) -> list[Job]:
    """Every terminal job that is kept, in feed order."""
    ended = [job for job in books.jobs.values() if job.terminal]
    return sorted(ended, key=lambda job: job.position or 0)
