"""Rows to values and back. Statements are built once, here and in the modules beside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, CursorResult, Row, Select, bindparam, literal, select, update

from dynwork.orchestrator.core.instance import Instance, InstanceState
from dynwork.orchestrator.core.job import Chain, Job, JobError, JobState, Lease, LeaseEnd
from dynwork.orchestrator.core.worker import Pace, Worker, WorkerFacts, WorkerState
from dynwork.orchestrator.store import tables

T = TypeVar("T")

IN_LIST_MAX = 512
"""Values in one IN list: engines bound the parameters of a statement."""

QUEUED = literal("queued", literal_execute=True)
LEASED = literal("leased", literal_execute=True)
SUCCEEDED = literal("succeeded", literal_execute=True)
"""Written into the statement's text: a partial index serves only a condition that is known when it is planned."""

_JOB_STATES = {state.value: state for state in JobState}
_LEASE_ENDS: dict[str | None, LeaseEnd | None] = {None: None, **{end.value: end for end in LeaseEnd}}

SELECT_JOB = select(*tables.job.c)


class ForOwner:
    """A statement about jobs, for those of one owner and for everybody's."""

    def __init__(self, everybody: Select[Any]) -> None:
        self._everybody = everybody
        self._own = everybody.where(tables.job.c.owner == bindparam("owner"))

    def execute(self, conn: Connection, owner: str | None, **values: object) -> CursorResult[Any]:
        """Execute it for ``owner``; ``None``: for everybody."""
        if owner is None:
            return conn.execute(self._everybody, values)
        return conn.execute(self._own, {**values, "owner": owner})


def chunks(items: Iterable[T], size: int = IN_LIST_MAX) -> Iterator[list[T]]:
    """Cut ``items`` into lists of at most ``size``."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def in_lists(ids: Iterable[str], size: int = IN_LIST_MAX) -> Iterator[list[str]]:
    """Cut ``ids``, sorted and each once, into lists for an IN.

    The length of a list is a power of two, filled up with its last id: engines parse and plan a statement of every
    length anew, and so meet ten of them instead of hundreds.
    """
    for chunk in chunks(sorted(set(ids)), size):
        length = 1 << (len(chunk) - 1).bit_length()
        yield chunk + chunk[-1:] * (length - len(chunk))


MUTABLE = (
    "chain_state", "done", "state", "not_before", "epoch", "worker_id", "incarnation", "lease_end", "attempts",
    "losses", "started_at", "completed_at", "error_code", "error_detail", "position",
)  # fmt: skip
"""The columns of a job that may change. All are written at each change: one statement for every transition."""

UPDATE_JOB = (
    update(tables.job).where(tables.job.c.job_id == bindparam("at")).values({name: bindparam(name) for name in MUTABLE})
)


def job_of(row: Row[Any]) -> Job:
    """Make the job that ``row`` (of :data:`SELECT_JOB`) holds."""
    (
        job_id, owner, key, fingerprint, kind, priority, start_state, start_done, chain_state, done, total, state,
        not_before, created_at, epoch, worker_id, incarnation, lease_end, attempts, losses, started_at, completed_at,
        error_code, error_detail, requeued_from, position,
    ) = tuple(row)  # fmt: skip
    return Job(
        job_id=job_id,
        owner=owner,
        key=key,
        fingerprint=fingerprint,
        kind=kind,
        priority=priority,
        start=Chain(start_state, start_done, total),
        chain=Chain(chain_state, done, total),
        state=_JOB_STATES[state],
        not_before=not_before,
        created_at=created_at,
        lease=Lease(epoch, worker_id, incarnation, _LEASE_ENDS[lease_end]),
        attempts=attempts,
        losses=losses,
        started_at=started_at,
        completed_at=completed_at,
        error=None if error_code is None else JobError(error_code, error_detail or ""),
        requeued_from=requeued_from,
        position=position,
    )


def changes_of(job: Job) -> dict[str, object]:
    """Return the mutable columns of ``job``, and ``at``, the row they belong to: parameters of :data:`UPDATE_JOB`."""
    lease, error = job.lease, job.error
    return {
        "at": job.job_id,
        "chain_state": job.chain.state,
        "done": job.chain.done,
        "state": job.state.value,
        "not_before": job.not_before,
        "epoch": lease.epoch,
        "worker_id": lease.worker_id,
        "incarnation": lease.incarnation,
        "lease_end": None if lease.end is None else lease.end.value,
        "attempts": job.attempts,
        "losses": job.losses,
        "started_at": job.started_at,
        "completed_at": job.completed_at,
        "error_code": None if error is None else error.code,
        "error_detail": None if error is None else error.detail,
        "position": job.position,
    }


def columns_of(job: Job) -> dict[str, object]:
    """Return every column of ``job``, for an insert."""
    columns = changes_of(job)
    del columns["at"]
    return {
        **columns,
        "job_id": job.job_id,
        "owner": job.owner,
        "key": job.key,
        "fingerprint": job.fingerprint,
        "kind": job.kind,
        "priority": job.priority,
        "start_state": job.start.state,
        "start_done": job.start.done,
        "total": job.chain.total,
        "created_at": job.created_at,
        "requeued_from": job.requeued_from,
    }


SELECT_WORKER = select(*tables.worker.c)


def worker_of(row: Row[Any], leases: int = 0) -> Worker:
    """Make the worker that ``row`` (of :data:`SELECT_WORKER`) holds."""
    facts = WorkerFacts(
        worker_id=row.worker_id,
        incarnation=row.incarnation,
        paces={kind: Pace(*figures) for kind, figures in row.paces.items()},
        kinds=tuple(row.kinds.split(",")) if row.kinds else (),
        instance_id=row.instance_id,
        host=row.host,
        pid=row.pid,
        path=row.path,
        started_at=row.started_at,
        notice=row.notice,
    )
    return Worker(facts, WorkerState(row.state), row.lease_until, row.last_seen_at, row.busy_at, leases)


def worker_columns(worker: Worker) -> dict[str, object]:
    """Return every column of ``worker``."""
    facts = worker.facts
    return {
        "worker_id": facts.worker_id,
        "incarnation": facts.incarnation,
        "paces": {kind: [pace.capacity, pace.chain_speed, pace.lanes] for kind, pace in facts.paces.items()},
        "kinds": ",".join(facts.kinds),
        "instance_id": facts.instance_id,
        "host": facts.host,
        "pid": facts.pid,
        "path": facts.path,
        "started_at": facts.started_at,
        "notice": facts.notice,
        "state": worker.state.value,
        "lease_until": worker.lease_until,
        "last_seen_at": worker.last_seen_at,
        "busy_at": worker.busy_at,
    }


def instance_of(row: Row[Any]) -> Instance:
    """Make the instance that ``row`` (of all columns) holds."""
    return Instance(
        row.instance_id,
        InstanceState(row.state),
        row.intended_at,
        row.provider_id,
        row.launched_at,
        row.ended_at,
        row.reason,
        row.placement or "",
    )


def instance_columns(instance: Instance) -> dict[str, object]:
    """Return every column of ``instance``."""
    return {
        "instance_id": instance.instance_id,
        "state": instance.state.value,
        "intended_at": instance.intended_at,
        "provider_id": instance.provider_id,
        "launched_at": instance.launched_at,
        "ended_at": instance.ended_at,
        "reason": instance.reason,
        "placement": instance.placement or None,
    }
