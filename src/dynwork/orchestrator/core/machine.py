"""The life of a job: one table of legal transitions, one function that makes them.

:data:`TRANSITIONS` is the specification: which event may meet which state, and what may come of it. :func:`step` is
the only place where a job changes. :func:`judge` decides, before any step, whether a worker's report still counts.
The diagram in ``docs/reference/job-states.md`` is generated from the table.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from dynwork.orchestrator.core.job import (
    Chain,
    Instant,
    Job,
    JobError,
    JobState,
    Lease,
    LeaseEnd,
    LeaseRef,
    Submission,
)
from dynwork.orchestrator.core.retry import RetryPolicy, not_before


@dataclass(frozen=True, slots=True)
class Leased:
    """A worker was given the job: a new epoch begins."""

    worker_id: str
    incarnation: str


@dataclass(frozen=True, slots=True)
class Renewed:
    """The worker of an expired lease is back before the job was given to another: the lease goes on, same epoch."""


@dataclass(frozen=True, slots=True)
class Checkpointed:
    """The worker advanced the chain to ``(state, done)``."""

    state: bytes
    done: int


@dataclass(frozen=True, slots=True)
class Completed:
    """The worker says the chain is at its end, in ``state`` after ``done`` steps."""

    state: bytes
    done: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The work itself failed. ``jitter`` in [0, 1) spreads the retry."""

    code: str
    detail: str
    jitter: float = 0.0


@dataclass(frozen=True, slots=True)
class Released:
    """The worker hands the job back, with its checkpoint: a drain, a spot notice, a stop."""

    state: bytes
    done: int


@dataclass(frozen=True, slots=True)
class Expired:
    """The worker fell silent, or is known to be dead."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The client does not want the job any more."""


Report = Completed | Failed | Released
"""What a worker says once about a lease, ending it."""

Event = Leased | Renewed | Checkpointed | Report | Expired | Cancelled

_S = JobState
TRANSITIONS: dict[tuple[JobState, type[Event]], frozenset[JobState]] = {
    (_S.QUEUED, Leased): frozenset({_S.LEASED}),
    (_S.QUEUED, Cancelled): frozenset({_S.CANCELLED}),
    (_S.LEASED, Checkpointed): frozenset({_S.LEASED}),
    (_S.LEASED, Completed): frozenset({_S.SUCCEEDED, _S.QUEUED, _S.DEAD}),  # an incomplete result is a failure
    (_S.LEASED, Failed): frozenset({_S.QUEUED, _S.DEAD}),
    (_S.LEASED, Released): frozenset({_S.QUEUED}),
    (_S.LEASED, Expired): frozenset({_S.QUEUED, _S.DEAD}),
    (_S.LEASED, Cancelled): frozenset({_S.CANCELLED}),
    # Expired, not yet given to another: the latest lease still counts.
    (_S.QUEUED, Renewed): frozenset({_S.LEASED}),
    (_S.QUEUED, Completed): frozenset({_S.SUCCEEDED, _S.QUEUED, _S.DEAD}),
    (_S.QUEUED, Failed): frozenset({_S.QUEUED, _S.DEAD}),
    (_S.QUEUED, Released): frozenset({_S.QUEUED}),
}
"""The whole specification: a pair that is not here is illegal. (Submission makes ``queued``, or ``succeeded``.)"""


class IllegalTransitionError(Exception):
    """The table has no such pair: the caller has a defect."""

    def __init__(self, state: JobState, event: Event) -> None:
        super().__init__(f"{type(event).__name__} may not meet a job that is {state}")


class Verdict(StrEnum):
    """What a worker is told about its report.

    ``accepted``: it took effect, now or when it was first sent. ``stale``: the job was given to another since, or the
    lease was ended by another report. ``over``: the job ended meanwhile without this worker (it was cancelled).
    """

    ACCEPTED = "accepted"
    STALE = "stale"
    OVER = "over"


def submit(submission: Submission, now: Instant) -> Job:
    """Make the job. A chain that is complete already (``iterations=1``) succeeds on arrival."""
    complete = submission.chain.remaining == 0
    return Job(
        job_id=submission.job_id,
        owner=submission.owner,
        key=submission.key,
        fingerprint=submission.fingerprint,
        kind=submission.kind,
        priority=submission.priority,
        start=submission.chain,
        chain=submission.chain,
        state=JobState.SUCCEEDED if complete else JobState.QUEUED,
        not_before=now,
        created_at=now,
        started_at=now if complete else None,
        completed_at=now if complete else None,
        requeued_from=submission.requeued_from,
    )


def successor(dead: Job, job_id: str) -> Submission:
    """Return the submission of the job that takes the place of a dead one: the same work, from its start."""
    return Submission(job_id, dead.owner, None, dead.kind, dead.priority, dead.start, requeued_from=dead.job_id)


def holds(job: Job, ref: LeaseRef) -> bool:
    """Say whether ``ref`` names the latest lease of ``job`` and its worker has not ended it."""
    return (
        job.lease.epoch == ref.epoch
        and job.lease.incarnation == ref.incarnation
        and job.lease.end is None
        and not job.terminal
    )


def judge(job: Job, ref: LeaseRef, end: LeaseEnd) -> Verdict | None:
    """Fence a report: return the verdict on one that must change nothing, ``None`` for one that must be applied."""
    if holds(job, ref):
        return None
    if job.lease.epoch != ref.epoch or job.lease.incarnation != ref.incarnation:
        return Verdict.STALE
    if job.lease.end is end:
        return Verdict.ACCEPTED  # a repetition gets the answer of the first time
    return Verdict.OVER if job.terminal else Verdict.STALE


def step(job: Job, event: Event, now: Instant, policy: RetryPolicy) -> Job:
    """Return the job after ``event``. Raises :class:`IllegalTransitionError` for a pair that is not in the table."""
    legal = TRANSITIONS.get((job.state, type(event)))
    if legal is None:
        raise IllegalTransitionError(job.state, event)
    after = _step(job, event, now, policy)
    assert after.state in legal, (job.state, event, after.state)
    return after


def _step(job: Job, event: Event, now: Instant, policy: RetryPolicy) -> Job:
    match event:
        case Leased(worker_id, incarnation):
            lease = Lease(job.lease.epoch + 1, worker_id, incarnation)
            return replace(job, state=JobState.LEASED, lease=lease, started_at=job.started_at or now)
        case Renewed():
            return replace(job, state=JobState.LEASED)
        case Checkpointed(state, done):
            return _advance(job, state, done)
        case Completed(state, done):
            if done != job.chain.total:
                detail = f"the worker reported {done} of {job.chain.total} steps as complete"
                return _fail(job, Failed("incomplete_result", detail), LeaseEnd.COMPLETED, now, policy)
            return _end(_close(_advance(job, state, done), LeaseEnd.COMPLETED), JobState.SUCCEEDED, now)
        case Failed():
            return _fail(job, event, LeaseEnd.FAILED, now, policy)
        case Released(state, done):
            return replace(_close(_advance(job, state, done), LeaseEnd.RELEASED), state=JobState.QUEUED)
        case Expired():
            return _lose(job, now, policy)
        case Cancelled():
            return _end(job, JobState.CANCELLED, now)
        case _:
            assert_never(event)


def _advance(job: Job, state: bytes, done: int) -> Job:
    """Take the checkpoint if it is ahead: ``done`` never decreases, and never passes the end."""
    if not job.chain.done < done <= job.chain.total:
        return job
    return replace(job, chain=Chain(state, done, job.chain.total), losses=0)


def _close(job: Job, end: LeaseEnd) -> Job:
    return replace(job, lease=replace(job.lease, end=end))


def _end(job: Job, state: JobState, now: Instant, error: JobError | None = None) -> Job:
    return replace(job, state=state, completed_at=now, error=error)


def _fail(job: Job, failure: Failed, end: LeaseEnd, now: Instant, policy: RetryPolicy) -> Job:
    job = replace(_close(job, end), attempts=job.attempts + 1)
    error = JobError(failure.code, failure.detail)
    if job.attempts >= policy.attempts_max:
        return _end(job, JobState.DEAD, now, error)
    later = not_before(policy, job.attempts, now, failure.jitter)
    return replace(job, state=JobState.QUEUED, not_before=later, error=error)


def _lose(job: Job, now: Instant, policy: RetryPolicy) -> Job:
    """Back to the queue, in the same place, under the same epoch: the worker may yet be heard of."""
    job = replace(job, losses=job.losses + 1)
    if job.losses > policy.losses_max:
        detail = f"{job.losses} workers in a row were lost without progress, the last was {job.lease.worker_id}"
        return _end(job, JobState.DEAD, now, JobError("worker_lost", detail))
    return replace(job, state=JobState.QUEUED)
