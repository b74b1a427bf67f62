"""The store's contract.

Every engine (SQLite, PostgreSQL, the in-memory reference) implements :class:`Store` and passes one contract suite,
:mod:`dynwork.testing.store_contract`.

Writes come in :class:`~dynwork.orchestrator.store.commands.Round` s: everything that waited, in ONE transaction with
ONE ``now``. A round behaves exactly as if its items had been carried out one by one, in this order: reports,
heartbeats, cancels, requeues, submissions, asks; within a kind, in the order given. When ``commit`` returns, all of it
is durable; when it raises, none of it happened. An expected outcome is a value in the receipt; an exception means that
the round as a whole failed.

All times are seconds since the epoch and are given by the caller, whose clock follows :meth:`Store.time` where several
share a store. All work is in steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from dynwork.orchestrator.core import instance
from dynwork.orchestrator.core.instance import Instance
from dynwork.orchestrator.core.job import Instant, Job, JobState
from dynwork.orchestrator.core.worker import Worker
from dynwork.orchestrator.store.commands import Receipt, Round
from dynwork.orchestrator.store.values import FeedPage, JobsPage, Leadership, News, Swept, Tail, Totals


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

    # -- reads; the owner ``None`` stands for everybody
    async def job(self, owner: str | None, job_id: str) -> Job | None:
        """Return the owner's job; a foreign job is as unknown as one that never was."""
        ...

    async def jobs(self, owner: str | None, state: JobState | None, before: str | None, limit: int) -> JobsPage:
        """Return the owner's jobs (those in ``state``) with an id below ``before``, highest first, at most ``limit``.

        Ids are in order of time, so the newest come first. A call looks at a bounded number of jobs: the page may be
        short, or empty, while ``next`` says where to go on.
        """
        ...

    async def newest_succeeded(self, owner: str | None, top: int) -> Sequence[Job]:
        """Return at most ``top`` succeeded jobs of the owner, newest feed position first."""
        ...

    async def feed(self, owner: str | None, after: int | None, limit: int) -> FeedPage:
        """Return the owner's terminal jobs with a feed position above ``after``, in commit order, at most ``limit``.

        ``after=None`` starts from the oldest kept. ``next`` is the position of the last entry when the page is full,
        else the newest position of the whole store in the same snapshot: a follower without entries of its own does not
        fall behind retention. Raises ``CursorExpiredError`` if entries after ``after`` may have been deleted, and for a
        position that the store has not reached: what it once had after an earlier one is not what it has now (a backup,
        a standby that had not received everything).
        """
        ...

    async def tail(self, after: int | None, limit: int) -> Tail:
        """Return which jobs have a feed position above ``after``, in commit order, at most ``limit``, whose ever.

        ``after=None`` is the newest position: nothing, and where to go on from. ``next`` is as :meth:`feed` has it.
        Raises ``CursorExpiredError`` as that does.
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

    async def announce(self, news: News) -> None:
        """Let every orchestrator know. A hint: it may be lost."""
        ...

    async def listen(self, heed: Callable[[News], None]) -> None:
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
        on to count. Instances: ended by then. Raises ``StaleLeaderError``.
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

    async def intend(self, epoch: int, intent: Instance, fleet_max: int) -> Instance | None:
        """Store the intent to launch, an instance ``intended``. ``None``, and nothing stored, if there is no place.

        There is a place while fewer than ``fleet_max`` instances count
        (:data:`~dynwork.orchestrator.core.instance.COUNTED`). The same ``instance_id`` twice is the same intent: its
        instance is returned as it is now. Raises ``StaleLeaderError``.
        """
        ...

    async def adopt(self, epoch: int, found: Instance, fleet_max: int, now: Instant) -> Instance:
        """Take in a machine whose worker reports and that no living instance stands for; return the instance.

        :func:`~dynwork.orchestrator.core.instance.adopted` says what becomes of it; a place is judged as by
        :meth:`intend`. One that lives already is returned as it is. Raises ``StaleLeaderError``.
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
        """Mark the instance (unless it is ``noticed``) and its worker draining, if that holds no lease; say if so.

        Checked and marked in one transaction, the worker's row first, as a claim does: a busy worker is never ended.
        An instance whose worker never reported has no lease; a worker that registers on it later is draining from the
        start. Repeated, the answer is the same. ``False``, too, for one that is unknown, ended or not launched. Raises
        ``StaleLeaderError``.
        """
        ...
