"""What a store is given and what it answers, beside the commands of a round: plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from dynwork.orchestrator.core.backlog import Backlog
from dynwork.orchestrator.core.job import Instant, Job
from dynwork.orchestrator.core.leasing import LeasePolicy
from dynwork.orchestrator.core.retry import RetryPolicy


@dataclass(frozen=True, slots=True)
class Rules:
    """The policies that a store applies inside its transactions. Durations in seconds."""

    leasing: LeasePolicy = LeasePolicy()
    retry: RetryPolicy = RetryPolicy()
    queue_jobs_max: int = 10_000_000


@dataclass(frozen=True, slots=True)
class Totals:
    """How many jobs are in each state, and the work ahead; kept inside the transactions, never counted.

    ``backlog`` has the kinds with queued or leased jobs, and no others. ``submitted`` (new jobs) and ``completed``
    (jobs that succeeded) only ever rise: rates are differences. The five states count what is kept: retention lowers
    them.
    """

    queued: int = 0
    leased: int = 0
    succeeded: int = 0
    dead: int = 0
    cancelled: int = 0
    backlog: Mapping[str, Backlog] = field(default_factory=dict)
    submitted: int = 0
    completed: int = 0

    @property
    def backlog_steps(self) -> float:
        """The steps ahead, whatever they are steps of."""
        return sum(work.steps for work in self.backlog.values())


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Terminal jobs in commit order, and the position to go on from (as of this very read)."""

    jobs: Sequence[Job] = ()
    next: int = 0


@dataclass(frozen=True, slots=True)
class JobsPage:
    """Jobs, newest first, and the id to go on below; ``next`` is ``None`` when there is nothing below."""

    jobs: Sequence[Job] = ()
    next: str | None = None


class Ended(NamedTuple):
    """A job that ended, and whose it is."""

    job_id: str
    owner: str


@dataclass(frozen=True, slots=True)
class Tail:
    """What ended, whose ever it is, in commit order, and the position to go on from."""

    ended: Sequence[Ended] = ()
    next: int = 0


class News(StrEnum):
    """What orchestrators announce to each other."""

    CLAIMABLE = "claimable"
    """There may be jobs to claim."""
    ENDED = "ended"
    """Jobs ended: the feed has grown."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep did. ``more``: the bound was met, sweep again at once."""

    expired: int = 0
    claimable: int = 0
    ended: int = 0
    workers: tuple[str, ...] = field(default=())
    more: bool = False


@dataclass(frozen=True, slots=True)
class Leadership:
    """Who led last, under which epoch, until when if nobody hears of it again, and what it decided last, in words."""

    holder: str
    epoch: int
    until: Instant
    decision: str | None = None
