"""What a job is.

A job's whole computation is three values, its *chain*: ``(state, done, total)``. A worker advances ``(state, done)``;
the store keeps the last pair it was told of, the checkpoint. Starting and resuming are the same operation.

Values here never change; :func:`dynwork.orchestrator.core.machine.step` makes the next one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

Instant = float
"""A point in time: seconds since the Unix epoch, UTC."""


class JobState(StrEnum):
    """Where a job is in its life. The last three are terminal: they never change."""

    QUEUED = "queued"
    LEASED = "leased"
    SUCCEEDED = "succeeded"
    DEAD = "dead"
    CANCELLED = "cancelled"


TERMINAL = frozenset({JobState.SUCCEEDED, JobState.DEAD, JobState.CANCELLED})


class LeaseEnd(StrEnum):
    """How a worker itself ended its lease. A lease that merely expired has no end: its worker may still report."""

    COMPLETED = "completed"
    FAILED = "failed"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Chain:
    """The computation: ``state`` after ``done`` of ``total`` steps. ``sha512-chain``: the 64-byte digest."""

    state: bytes
    done: int
    total: int

    @property
    def remaining(self) -> int:
        """The work left, in steps."""
        return self.total - self.done


@dataclass(frozen=True, slots=True)
class LeaseRef:
    """How a worker names a job it was given: the epoch fences the lease, the incarnation fences the process."""

    job_id: str
    epoch: int
    incarnation: str


@dataclass(frozen=True, slots=True)
class Lease:
    """The latest lease of a job, open or over. ``epoch`` is 0 before the first and rises with every grant."""

    epoch: int = 0
    worker_id: str | None = None
    incarnation: str | None = None
    end: LeaseEnd | None = None


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed: a stable ``code`` and a sentence."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Submission:
    """What a client asks for. ``chain`` is where the computation starts; ``key`` makes repeating it harmless."""

    job_id: str
    owner: str
    key: str | None
    kind: str
    priority: int
    chain: Chain
    requeued_from: str | None = None

    @property
    def fingerprint(self) -> str:
        """Tells whether two submissions ask for the same work: SHA-256 over start state, kind, steps and priority."""
        head = f"{self.kind}\n{self.chain.done}\n{self.chain.total}\n{self.priority}\n".encode()
        return hashlib.sha256(head + self.chain.state).hexdigest()


@dataclass(frozen=True, slots=True)
class Job:
    """One job, one row, for its whole life.

    ``attempts`` counts errors of the work itself; ``losses`` counts lost workers in a row without progress.
    ``not_before`` orders the claims within a priority and delays retries. ``position`` is the place in the results
    feed, given in commit order when the job ends.
    """

    job_id: str
    owner: str
    key: str | None
    fingerprint: str
    kind: str
    priority: int
    start: Chain
    chain: Chain
    state: JobState
    not_before: Instant
    created_at: Instant
    lease: Lease = Lease()
    attempts: int = 0
    losses: int = 0
    started_at: Instant | None = None
    completed_at: Instant | None = None
    error: JobError | None = None
    requeued_from: str | None = None
    position: int | None = None

    @property
    def terminal(self) -> bool:
        """Whether the job has ended for good."""
        return self.state in TERMINAL
