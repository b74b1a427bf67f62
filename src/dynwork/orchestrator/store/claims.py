"""The queue in claim order: priority, highest first; then ``not_before``; then job id.

One range scan per (kind, priority) over the partial index ``job_claim``, a page at a time: rows that are delayed lie
behind the scan's end and cost nothing, and it takes the same time in front of a thousand rows and of a million.

The scan locks nothing. What is wanted of it is locked by id afterwards, and what another orchestrator has locked or
taken meanwhile is passed over: so nothing is withheld from the others that is not taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, select, tuple_

from dynwork.orchestrator.core.job import Instant, Job, JobState
from dynwork.orchestrator.store import tables
from dynwork.orchestrator.store.batch import Batch
from dynwork.orchestrator.store.rows import QUEUED, SELECT_JOB, in_lists, job_of

PAGE_FIRST, PAGE_MAX = 16, 512
"""Rows in a page: few at first, for a worker with few lanes, doubling for one that takes hundreds of small jobs."""

_c = tables.job.c
_NEXT_PRIORITY = (
    select(_c.priority)
    .where(_c.state == QUEUED, _c.kind == bindparam("kind"), _c.priority <= bindparam("highest"))
    .order_by(_c.priority.desc())
    .limit(1)
)
_NEXT_KIND = select(_c.kind).where(_c.state == QUEUED, _c.kind > bindparam("after")).order_by(_c.kind).limit(1)
_PAGE = (
    select(_c.job_id, _c.kind, _c.priority, _c.not_before, (_c.total - _c.done).label("remaining"))
    .where(
        _c.state == QUEUED,
        _c.kind == bindparam("kind"),
        _c.priority == bindparam("priority"),
        _c.not_before <= bindparam("now"),
        tuple_(_c.not_before, _c.job_id) > tuple_(bindparam("since"), bindparam("after")),
    )
    .order_by(_c.not_before, _c.job_id)
    .limit(bindparam("page"))
)
_LOCK = (
    SELECT_JOB.where(_c.job_id.in_(bindparam("ids", expanding=True)))
    .order_by(_c.job_id)
    .with_for_update(skip_locked=True)
)
_EARLIEST = (
    select(_c.not_before)
    .where(_c.state == QUEUED, _c.kind == bindparam("kind"), _c.priority == bindparam("priority"))
    .order_by(_c.not_before)
    .limit(1)
)
_BEFORE_ALL_IDS = "00000000-0000-0000-0000-000000000000"

ClaimOrder = tuple[int, Instant, str]


class Waiting(NamedTuple):
    """A job in the queue, as it was found there; not locked. ``remaining``: steps."""

    job_id: str
    kind: str
    priority: int
    not_before: Instant
    remaining: int


def claim_order(job: Job | Waiting) -> ClaimOrder:
    """Return the sort key of the claim order, smallest first."""
    return (-job.priority, job.not_before, job.job_id)


class Queue:
    """The claimable jobs, for one transaction: each is given out at most once."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._streams: dict[str, _Stream] = {}
        self._kinds: tuple[str, ...] | None = None

    def peek(self, kinds: Iterable[str]) -> Waiting | None:
        """Return the first job of these kinds (of any kind, if empty) without taking it."""
        heads = [head for kind in kinds or self._all_kinds() if (head := self._stream(kind).head) is not None]
        return min(heads, key=claim_order, default=None)

    def pop(self, waiting: Waiting) -> None:
        """Pass the job that :meth:`peek` returned."""
        self._stream(waiting.kind).advance()

    def lock(self, wanted: Sequence[Waiting]) -> list[Job]:
        """Lock and load those of ``wanted`` that still wait and that nobody else has locked, in the same order.

        One that failed elsewhere since it was seen is queued again, but for later.
        """
        got: set[str] = set()
        for ids in in_lists(waiting.job_id for waiting in wanted):
            for job in map(job_of, self._batch.conn.execute(_LOCK, {"ids": ids})):
                if job.state is JobState.QUEUED and job.not_before <= self._batch.now:
                    self._batch.take(job)
                    got.add(job.job_id)
        return [self._batch.jobs[waiting.job_id] for waiting in wanted if waiting.job_id in got]

    def renew(self) -> None:
        """Look again from the front: this transaction has put jobs back into the queue."""
        self._batch.flush()
        self._streams.clear()
        self._kinds = None

    def _stream(self, kind: str) -> _Stream:
        if kind not in self._streams:
            self._streams[kind] = _Stream(self._batch, kind)
        return self._streams[kind]

    def _all_kinds(self) -> tuple[str, ...]:
        if self._kinds is None:
            self._kinds = tuple(queued_kinds(self._batch))
        return self._kinds


class _Stream:
    """The claimable jobs of one kind, in order, read page by page."""

    def __init__(self, batch: Batch, kind: str) -> None:
        self._batch = batch
        self._jobs = self._read(kind)
        self._head: Waiting | None = next(self._jobs, None)

    @property
    def head(self) -> Waiting | None:
        """The first job that this transaction, too, still knows as queued: it may have cancelled or renewed some."""
        while self._head is not None and not self._batch.is_queued(self._head.job_id):
            self.advance()
        return self._head

    def advance(self) -> None:
        self._head = next(self._jobs, None)

    def _read(self, kind: str) -> Iterator[Waiting]:
        for priority in priorities(self._batch, kind):
            yield from self._read_priority(kind, priority)

    def _read_priority(self, kind: str, priority: int) -> Iterator[Waiting]:
        since, after, page = float("-inf"), _BEFORE_ALL_IDS, PAGE_FIRST
        scope = {"kind": kind, "priority": priority, "now": self._batch.now}
        while True:
            position = {"since": since, "after": after, "page": page}
            jobs = [Waiting(*row) for row in self._batch.conn.execute(_PAGE, {**scope, **position})]
            yield from jobs
            if len(jobs) < page:
                return
            since, after, page = jobs[-1].not_before, jobs[-1].job_id, min(page * 2, PAGE_MAX)


def priorities(batch: Batch, kind: str) -> Iterator[int]:
    """Go through the priorities that have queued jobs of ``kind``, highest first: one index probe each."""
    highest = 9
    while highest >= 0:
        found = batch.conn.scalar(_NEXT_PRIORITY, {"kind": kind, "highest": highest})
        if found is None:
            return
        yield int(found)
        highest = int(found) - 1


def queued_kinds(batch: Batch) -> Iterator[str]:
    """Go through the kinds that have queued jobs: one index probe each."""
    kind: str | None = ""
    while True:
        kind = batch.conn.scalar(_NEXT_KIND, {"after": kind})
        if kind is None:
            return
        yield kind


def next_due(batch: Batch) -> Instant | None:
    """Return the earliest ``not_before`` of a queued job."""
    earliest = [
        batch.conn.scalar(_EARLIEST, {"kind": kind, "priority": priority})
        for kind in queued_kinds(batch)
        for priority in priorities(batch, kind)
    ]
    return min((instant for instant in earliest if instant is not None), default=None)
