"""How jobs and the fleet look from outside: pure functions from the store's values to the wire's.

Times are ISO 8601 in UTC, to the millisecond. Estimates use what workers measured, for each kind: a leased job advances
at its worker's chain speed, a queued one first waits for the work ahead of it, which the whole fleet's capacity bears.
An estimate that cannot be made is ``None``, never a guess: work ahead of a kind that nobody has measured has no
duration.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import fmean

from dynwork import wire
from dynwork.kinds import DEFAULT_KIND
from dynwork.orchestrator.core.backlog import ahead
from dynwork.orchestrator.core.instance import Instance
from dynwork.orchestrator.core.job import Instant, Job, JobState
from dynwork.orchestrator.core.worker import Worker, WorkerState
from dynwork.orchestrator.store.values import Tail, Totals


@dataclass(frozen=True, slots=True)
class Outlook:
    """What estimates are made from. ``backlog_s``: the work ahead for the whole fleet.

    ``chain_speeds``: by kind, then by worker, those that were measured; steps per second.
    """

    chain_speeds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    backlog_s: float | None = None

    def speed(self, kind: str, worker_id: str | None = None) -> float | None:
        """The chain speed of this worker at ``kind``; of one that is not known, what is to be expected: the average."""
        speeds = self.chain_speeds.get(kind, {})
        return speeds.get(worker_id or "", fmean(speeds.values()) if speeds else None)


@dataclass(frozen=True, slots=True)
class Rates:
    """Jobs per second, over the last seconds."""

    submitted_per_s: float = 0.0
    completed_per_s: float = 0.0


def outlook(totals: Totals, workers: Iterable[Worker]) -> Outlook:
    """Return what the present fleet makes of the present backlog."""
    capacity: defaultdict[str, float] = defaultdict(float)
    chain_speeds: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for facts in (worker.facts for worker in workers if worker.state is WorkerState.READY):
        for kind, pace in facts.paces.items():
            capacity[kind] += pace.capacity
            if pace.chain_speed > 0:
                chain_speeds[kind][facts.worker_id] = pace.chain_speed
    work = ahead(totals.backlog, capacity)
    known = any(capacity.values()) and not work.unmeasured
    return Outlook(chain_speeds, work.seconds if known else None)


def eta_s(job: Job, outlook: Outlook) -> float | None:
    """Estimate when the job ends, seconds from now."""
    if job.state is JobState.LEASED:
        speed = outlook.speed(job.kind, job.lease.worker_id)
        return job.chain.remaining / speed if speed else None
    if job.state is JobState.QUEUED and outlook.backlog_s is not None:
        speed = outlook.speed(job.kind)
        return outlook.backlog_s + job.chain.remaining / speed if speed else None
    return None


def job(job: Job, outlook: Outlook) -> wire.JobView:
    """Show a job to its owner. ``worker_id``: who has it, or who ended it."""
    return wire.JobView(
        job_id=job.job_id,
        owner=job.owner,
        state=job.state.value,
        kind=job.kind,
        iterations=job.chain.total,
        done=job.chain.done,
        percent=100.0 * job.chain.done / job.chain.total,
        priority=job.priority,
        attempts=job.attempts,
        worker_id=None if job.state is JobState.QUEUED else job.lease.worker_id,
        created_at=iso(job.created_at),
        started_at=_iso_or_none(job.started_at),
        completed_at=_iso_or_none(job.completed_at),
        eta_s=eta_s(job, outlook),
        hash=_hash(job),
        error=_fault(job),
        requeued_from=job.requeued_from,
    )


def completed(jobs: Sequence[Job]) -> list[wire.CompletedView]:
    """Show succeeded jobs."""
    return [
        wire.CompletedView(
            job_id=job.job_id,
            hash=job.chain.state.hex(),
            iterations=job.chain.total,
            completed_at=iso(job.completed_at or job.created_at),
        )
        for job in jobs
    ]


def results(jobs: Sequence[Job]) -> list[wire.ResultView]:
    """Show entries of the results feed: jobs that ended, in whatever way."""
    return [
        wire.ResultView(
            job_id=job.job_id,
            state=job.state.value,
            hash=_hash(job),
            iterations=job.chain.total,
            completed_at=iso(job.completed_at or job.created_at),
            error=_fault(job),
        )
        for job in jobs
    ]


def tail(tail: Tail) -> wire.TailReply:
    """Show what ended, and whose it is."""
    return wire.TailReply(
        ended=[wire.EndedRef(job_id=ended.job_id, owner=ended.owner) for ended in tail.ended], next=tail.next
    )


def stats(totals: Totals, outlook: Outlook, rates: Rates, oldest_wait_s: float) -> wire.Stats:
    """Show the queue in numbers."""
    return wire.Stats(
        queued=totals.queued,
        leased=totals.leased,
        succeeded=totals.succeeded,
        dead=totals.dead,
        cancelled=totals.cancelled,
        backlog_steps=totals.backlog_steps,
        backlog_s=outlook.backlog_s,
        submitted_per_s=rates.submitted_per_s,
        completed_per_s=rates.completed_per_s,
        oldest_wait_s=oldest_wait_s,
    )


def worker(worker: Worker) -> wire.WorkerView:
    """Show a worker: how fast it is at the default kind."""
    facts = worker.facts
    pace = facts.pace(DEFAULT_KIND)
    return wire.WorkerView(
        worker_id=facts.worker_id,
        instance_id=facts.instance_id,
        pid=facts.pid,
        host=facts.host,
        state=worker.state.value,
        capacity=pace.capacity,
        chain_speed=pace.chain_speed,
        leases=worker.leases,
        lanes=pace.lanes,
        path=facts.path,
        started_at=_iso_or_none(facts.started_at),
        last_seen_at=iso(worker.last_seen_at),
    )


def instance(instance: Instance) -> wire.InstanceView:
    """Show a machine."""
    return wire.InstanceView(
        instance_id=instance.instance_id,
        provider_id=instance.provider_id,
        state=instance.state.value,
        intended_at=iso(instance.intended_at),
        launched_at=_iso_or_none(instance.launched_at),
        reason=instance.reason,
    )


def iso(instant: Instant) -> str:
    """Write a time as ISO 8601, UTC, with milliseconds."""
    return datetime.fromtimestamp(instant, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _iso_or_none(instant: Instant | None) -> str | None:
    return None if instant is None else iso(instant)


def _hash(job: Job) -> str | None:
    return job.chain.state.hex() if job.state is JobState.SUCCEEDED else None


def _fault(job: Job) -> wire.JobFault | None:
    return None if job.error is None else wire.JobFault(code=job.error.code, detail=job.error.detail)
