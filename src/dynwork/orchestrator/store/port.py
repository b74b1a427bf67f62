"""The store's contract.

Every engine (SQLite, PostgreSQL, the in-memory reference) implements :class:`Store` and passes one contract suite,
:mod:`dynwork.testing.store_contract`.

Writes come in :class:`~dynwork.orchestrator.store.commands.Round` s: everything that waited, in ONE transaction with
ONE ``now``. A round behaves exactly as if its items had been carried out one by one, in this order: reports,
heartbeats, cancels, submissions, asks; within a kind, in the order given. When ``commit`` returns, all of it is
durable; when it raises, none of it happened. An expected outcome is a value in the receipt; an exception means that the
round as a whole failed.

All times are seconds since the epoch and are given by the caller, whose clock follows :meth:`Store.time` where several
share a store. All work is in steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from dynwork.orchestrator.core import instance
from dynwork.orchestrator.core.backlog import Backlog
from dynwork.orchestrator.core.instance import Instance
from dynwork.orchestrator.core.job import Instant, Job
from dynwork.orchestrator.core.leasing import LeasePolicy
from dynwork.orchestrator.core.retry import RetryPolicy
from dynwork.orchestrator.core.worker import Worker
from dynwork.orchestrator.store.commands import Receipt, Round


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


class Store(Protocol):
    """Everything the orchestrator remembers. Methods raise ``StoreUnavailableError`` when the engine cannot serve."""

    async def open(self) -> None:
        """Migrate to the newest schema and get ready. SQLite: raises ``StoreLockedError`` if another process has it."""
        ...

    async def close(self) -> None:
        """Let go of files and connections; whatever was committed stays."""
        ...

    async def cluster_id(self) -> str:
        """Return the id that was drawn when the store was created; instances are tagged with it."""
        ...

    # -- the way of a job
    async def commit(self, round_: Round, now: Instant) -> Receipt:
        """Carry out a round in one transaction; see the module's text for what that promises."""
        ...

    async def worker_gone(self, worker_id: str, now: Instant) -> Swept:
        """The worker's process is known to be dead: expire its leases at once, as :meth:`expire` does.

        Unknown worker: nothing happens. Anyone who knows may say so, leader or not.
        """
        ...

    async def next_due(self, now: Instant) -> Instant | None:
        """Return the earliest ``not_before`` of a queued job (in the past: work waits), ``None`` if none is queued."""
        ...

    # -- reads
    async def job(self, owner: str, job_id: str) -> Job | None:
        """Return the owner's job; a foreign job is as unknown as one that never was."""
        ...

    async def newest_succeeded(self, owner: str, top: int) -> Sequence[Job]:
        """Return at most ``top`` succeeded jobs of the owner, newest feed position first."""
        ...

    async def feed(self, owner: str, after: int | None, limit: int) -> FeedPage:
        """Return the owner's terminal jobs with a feed position above ``after``, in commit order, at most ``limit``.

        ``after=None`` starts from the oldest kept. ``next`` is the position of the last entry when the page is full,
        else the newest position of the whole store in the same snapshot: a follower without entries of its own does not
        fall behind retention. Raises ``CursorExpiredError`` if entries after ``after`` may have been deleted.
        """
        ...

    async def totals(self) -> Totals:
        """Return the totals; constant cost."""
        ...

    async def workers(self) -> Sequence[Worker]:
        """Return every known worker with the number of its leases, in order of worker id."""
        ...

    # -- orchestrators side by side
    async def time(self) -> Instant | None:
        """Return the time of the store's own clock, which all that share it follow; ``None`` if it serves only one."""
        ...

    async def register(self, url: str, holder: str, now: Instant, ttl_s: float) -> Sequence[str]:
        """The orchestrator at ``url`` lives, until ``now + ttl_s`` at least; return the urls of all that live, sorted.

        ``holder`` names its process; a later process at the same url takes the place of an earlier.
        """
        ...

    async def deregister(self, holder: str) -> None:
        """The orchestrator ``holder`` is about to end. Unknown, or replaced: nothing happens."""
        ...

    async def announce(self) -> None:
        """Let every orchestrator know that there may be work to claim. A hint: it may be lost."""
        ...

    async def listen(self, heed: Callable[[], None]) -> None:
        """Call ``heed`` whenever somebody announces, for ever; one's own announcements may be among them."""
        ...

    async def check(self) -> Sequence[str]:
        """Look whether what is stored keeps the invariants that can be seen; return a sentence for each that is broken.

        Reads everything: seconds for a million jobs. Nothing else waits for it. The store need not be open: this is
        how one is looked at that others have open.
        """
        ...

    # -- the leader: every act names the epoch of the leadership it was planned under
    async def expire(self, epoch: int, now: Instant, limit: int) -> Swept:
        """Expire the leases of workers whose ``lease_until`` is before ``now``; at most ``limit`` jobs.

        In order of job id. Every such worker becomes ``lost`` at once, until it is heard of again. The job keeps its
        epoch and its place. Raises ``StaleLeaderError``.
        """
        ...

    async def retire(self, epoch: int, before: Instant, limit: int) -> int:
        """Delete at most ``limit`` jobs that ended before ``before``, oldest feed position first; return how many.

        Stops at the first job that is to be kept, so that what remains of the feed has no gap.

        Cursors older than the highest deleted position are expired from then on. Raises ``StaleLeaderError``.
        """
        ...

    async def forget(self, epoch: int, before: Instant) -> int:
        """Forget who has been gone since before ``before``; return how many workers that were.

        Workers: lost, without leases, and not seen since. Orchestrators: registered until then; what they counted goes
        on to count. Raises ``StaleLeaderError``.
        """
        ...

    async def leadership(self) -> Leadership | None:
        """Return who led last, ``None`` if nobody ever did."""
        ...

    async def lead(self, holder: str, now: Instant, ttl_s: float, decision: str | None = None) -> int | None:
        """Take or keep the leadership until ``now + ttl_s``; return its epoch, ``None`` while another holds it.

        ``decision`` is shown of the holder wherever it is asked for. A new holder raises the epoch; the first has 1.
        The present holder keeps its own, however late it comes, as long as nobody took over.
        """
        ...

    async def instances(self) -> Sequence[Instance]:
        """Return every instance that is not ``ended``, in order of intent."""
        ...

    async def intend(self, epoch: int, instance_id: str, fleet_max: int, now: Instant) -> Instance | None:
        """Store the intent to launch. ``None``, and nothing stored, if ``fleet_max`` instances are not ``ended`` yet.

        The same ``instance_id`` twice is the same intent: its instance is returned as it is now. Raises
        ``StaleLeaderError``.
        """
        ...

    async def instance_event(
        self, epoch: int, instance_id: str, event: instance.Event, now: Instant
    ) -> Instance | None:
        """Let ``event`` happen to the instance and return it as it is then; ``None`` if unknown.

        Raises ``StaleLeaderError``.
        """
        ...

    async def drain_if_idle(self, epoch: int, instance_id: str, reason: str, now: Instant) -> bool:
        """Mark the instance and its worker draining, if the worker holds no lease; say whether it was done.

        Checked and marked in one transaction, the worker's row first, as a claim does: a busy worker is never ended.
        An instance whose worker never reported has no lease; a worker that registers on it later is draining from the
        start. Repeated, the answer is the same. ``False``, too, for one that is unknown, ended or not launched. Raises
        ``StaleLeaderError``.
        """
        ...
