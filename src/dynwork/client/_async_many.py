"""``submit_many``: works go in a window at a time, results come out as they end. Nothing runs beside the caller.

The feed is read from a position taken before the first work was handed in, so a job that is handed in now ends after
it: each entry is either of a job that waits here, or of somebody else's. A job whose key was known before may have
ended earlier than that, and is looked up. So is everything that waits if the feed's position was lost. A feed that is
read from before the first handing-in of all tells those too, but maybe before their work is handed in here: what it
has told is kept for them, as much as there is room for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import TypeAlias

from dynwork import errors
from dynwork.client import _calls as calls
from dynwork.client._async_connection import AsyncConnection
from dynwork.client._async_delivery import AsyncDelivery
from dynwork.client._outside import AsyncOutside, AsyncSource, AsyncWorks
from dynwork.client._work import Result, Work, result_of
from dynwork.wire import BULK_JOBS_MAX

LISTEN_S = 20
"""How long the feed is listened to at a time while there is nothing else to do, seconds."""

KEPT_MAX = 10_000
"""How many of the results that the feed told are kept for works that are handed in later; 5 MB."""

Pairs: TypeAlias = list[tuple[Work, Result]]


class AsyncMany:
    """One run of ``submit_many``: ask for its :meth:`pairs` once."""

    def __init__(
        self, connection: AsyncConnection, outside: AsyncOutside, works: AsyncWorks, window: int, after: str | None
    ) -> None:
        """``after``: a cursor from before any of ``works`` was ever handed in, if there is one."""
        self._connection = connection
        self._outside = outside
        self._delivery = AsyncDelivery(connection, outside)
        self._source = AsyncSource(works, outside.monotonic)
        self._window = max(window, 1)
        self._cursor = after
        self._tells_all = after is not None
        """Whether each job that has ended is either among those kept or told by the feed from here on."""
        self._kept: dict[str, Result] | None = None if after is None else {}
        """What the feed has told, by job id, oldest first; only of one that begins before the first handing-in."""
        self._waiting: dict[str, list[Work]] = {}
        """By job id; more than one work if they share a key."""
        self._count = 0

    async def pairs(self) -> AsyncIterator[tuple[Work, Result]]:
        """Yield every work once, with its result. What the source raises comes after all that it gave before."""
        try:
            cursor = self._cursor or await self._newest()
            while not self._source.is_dry or self._count:
                if self._has_room():
                    for pair in await self._hand_in():
                        yield pair
                if self._count:
                    cursor, ended = await self._listen(cursor)
                    for pair in ended:
                        yield pair
            if self._source.error is not None:
                raise self._source.error
        finally:
            await self._source.aclose()

    def _has_room(self) -> bool:
        """Say whether it is worth a call: for a full one, or half the window if that is less."""
        room = self._window - self._count
        return not self._source.is_dry and room >= min(BULK_JOBS_MAX, (self._window + 1) // 2)

    async def _hand_in(self) -> Pairs:
        """Hand in the next works; return those that are at their end with that."""
        works = await self._source.take(min(BULK_JOBS_MAX, self._window - self._count))
        ended: Pairs = []
        known: list[str] = []
        for work, receipt in zip(works, await self._delivery.hand_in(works), strict=True):
            if receipt.job_id is None:
                ended.append((work, Result("refused", error=receipt.error)))
                continue
            if self._kept and receipt.job_id in self._kept:
                ended.append((work, self._kept[receipt.job_id]))
                continue
            self._waiting.setdefault(receipt.job_id, []).append(work)
            self._count += 1
            if receipt.repeated and not self._tells_all:
                known.append(receipt.job_id)
        return ended + await self._look_up(known)

    async def _listen(self, cursor: str) -> tuple[str, Pairs]:
        """Read on in the feed; return where to go on, and what ended."""
        wait_s = 0 if self._has_room() else LISTEN_S
        asked = self._outside.monotonic()
        try:
            page = await self._connection.call(calls.results(cursor, calls.PAGE_MAX, wait_s))
        except errors.CursorExpiredError:
            newest = await self._newest()
            self._tells_all = False
            return newest, await self._look_up(list(self._waiting))
        if wait_s and not page.results:
            await self._outside.rest(asked)
        ended: Pairs = []
        for entry in page.results:
            result = result_of(entry)
            self._keep(entry.job_id, result)
            ended += self._ended(entry.job_id, result)
        return page.next, ended

    async def _look_up(self, job_ids: Iterable[str]) -> Pairs:
        """Return those of the jobs that have ended."""
        found: Pairs = []
        for job_id in job_ids:
            try:
                job = await self._connection.call(calls.job(job_id))
            except errors.NotFoundError as error:  # it has ended, and retention was quicker than we
                found += self._ended(job_id, Result("forgotten", job_id, error=error))
                continue
            if job.completed_at is not None:
                found += self._ended(job_id, result_of(job))
        return found

    def _ended(self, job_id: str, result: Result) -> Pairs:
        """Take a job from those that wait; nothing if it is not one of them, or was told before."""
        works = self._waiting.pop(job_id, [])
        self._count -= len(works)
        return [(work, result) for work in works]

    def _keep(self, job_id: str, result: Result) -> None:
        """Keep it for works that are handed in later; for want of room the oldest goes, and is looked up if need be."""
        if self._kept is None:
            return
        self._kept[job_id] = result
        if len(self._kept) > KEPT_MAX:
            del self._kept[next(iter(self._kept))]
            self._tells_all = False

    async def _newest(self) -> str:
        page = await self._connection.call(calls.results(calls.NEWEST, 1, 0))
        return page.next
