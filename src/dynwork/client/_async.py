"""The asynchronous client: each public call of dynwork as a method."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from dynwork import errors
from dynwork.client import _calls as calls
from dynwork.client._async_connection import AsyncConnection
from dynwork.client._async_delivery import AsyncDelivery
from dynwork.client._async_many import AsyncMany
from dynwork.client._cursor_file import CursorFile
from dynwork.client._outside import AsyncOutside, AsyncWorks
from dynwork.client._work import Buffer, Receipt, Result, Work, result_of
from dynwork.kinds import DEFAULT_KIND
from dynwork.settings import ClientSettings, load
from dynwork.wire import CompletedView, Fleet, JobStateName, JobView, ResultsPage, ResultView, Stats

WINDOW = 5000


class AsyncClient:
    """Talks to the APIs of one cluster. Use it as ``async with AsyncClient() as client``, from one event loop.

    What is not given is read from ``DYNWORK_URL`` (several addresses: comma-separated), ``DYNWORK_API_KEY`` and
    ``DYNWORK_PATIENCE_S``. Every call is repeated, at another API if there are several, until it is answered or
    ``patience_s`` seconds have passed since its first failure (0: every API is asked once); no call takes effect twice.
    Refusals raise the error of :mod:`dynwork.errors` with the code that the API told; every method may also raise an
    ``UnavailableError`` (its leaf ``NoAnswerError`` if nobody answered at all) or ``UnexpectedAnswerError``.
    """

    def __init__(
        self,
        urls: str | Sequence[str] | None = None,
        *,
        api_key: str | None = None,
        patience_s: float | None = None,
        outside: AsyncOutside | None = None,
    ) -> None:
        """Raises ``ConfigurationError`` for an address that is none. ``outside``: time and network, for tests."""
        settings = load(ClientSettings)
        if api_key is None and settings.api_key is not None:
            api_key = settings.api_key.get_secret_value()
        self._outside = outside or AsyncOutside()
        self._connection = AsyncConnection(
            settings.urls if urls is None else [urls] if isinstance(urls, str) else urls,
            api_key,
            settings.patience_s if patience_s is None else patience_s,
            self._outside,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Let go of connections."""
        await self._connection.aclose()

    async def submit(
        self,
        data: Buffer,
        iterations: int,
        *,
        priority: int = 5,
        kind: str = DEFAULT_KIND,
        key: str | None = None,
    ) -> str:
        """Hand in one job; return its id once it is durable. The parameters are those of :class:`Work`."""
        receipts = await self.submit_all([Work(data, iterations, priority, kind, key)])
        return receipts[0].value()

    async def submit_all(self, works: Iterable[Work]) -> list[Receipt]:
        """Hand in many jobs, without waiting for their results; return a receipt for each, in order."""
        return await AsyncDelivery(self._connection, self._outside).hand_in(list(works))

    def submit_many(
        self, works: AsyncWorks, *, window: int = WINDOW, after: str | None = None
    ) -> AsyncIterator[tuple[Work, Result]]:
        """Hand in any number of jobs; give each with its result as it ends: every one exactly once.

        At most ``window`` are handed in and not yet ended: that bounds what is held in memory (give a ``Path`` for a
        buffer that is big), and ``works`` is read only so fast. One that is refused is a result too. To go on after a
        crash, give the works under the same keys once more, and as ``after`` the cursor (:meth:`position`) from before
        they were handed in first; without it those known already are looked up one by one. Jobs that retention has
        deleted meanwhile are done anew.

        Works are handed in at the latest 0.25 s after the first of a call was asked for, as soon as the source lets us:
        nothing runs beside the caller, so one that blocks holds up the others and the results. What ``works`` raises is
        raised here once all that it gave before is told. A generator is closed when this one is.
        """
        return AsyncMany(self._connection, self._outside, works, window, after).pairs()

    async def position(self) -> str:
        """Return the cursor of this moment: as ``after`` it gives what ends from now on."""
        page = await self.results(calls.NEWEST, limit=1)
        return page.next

    async def result(self, job_id: str, *, wait_s: float | None = None) -> str:
        """Wait for the job's end, at most ``wait_s`` seconds (unset: for ever); return its hash.

        Raises ``JobDeadError`` or ``JobCancelledError`` for one that ended without a hash, ``JobUnfinishedError``.
        """
        job = await self.job(job_id, wait_s=float("inf") if wait_s is None else wait_s)
        if job.completed_at is None:
            raise errors.JobUnfinishedError(f"the job {job_id} has not ended within {wait_s:g} s; it goes on")
        return result_of(job).value()

    async def job(self, job_id: str, *, wait_s: float = 0.0) -> JobView:
        """Return the job as it is, or as it ended if it does so within ``wait_s`` seconds."""
        if math.isnan(wait_s):
            raise errors.InvalidInputError("wait_s: a number of seconds")
        deadline = self._outside.monotonic() + wait_s
        while True:
            asked = self._outside.monotonic()
            left_s = max(deadline - asked, 0.0)
            job = await self._connection.call(calls.job(job_id, int(min(left_s, calls.WAIT_S_MAX))))
            now = self._outside.monotonic()
            if job.completed_at is not None or now >= deadline:
                return job
            await self._outside.rest(asked)

    async def jobs(
        self, *, state: JobStateName | None = None, owner: str | None = None, limit: int | None = None
    ) -> AsyncIterator[JobView]:
        """Yield jobs, newest first, at most ``limit``; ``owner`` is for keys with the right ``admin``."""
        cursor = None
        left = limit
        while left is None or left > 0:
            page = await self._connection.call(
                calls.jobs(state, owner, min(calls.PAGE_MAX, left or calls.PAGE_MAX), cursor)
            )
            for job in page.jobs[:left]:
                yield job
            left = left - len(page.jobs) if left is not None else None
            cursor = page.next
            if cursor is None:
                return

    async def cancel(self, job_id: str) -> JobView:
        """Cancel the job; return it. Raises ``JobFinishedError`` if it ended before."""
        return await self._connection.call(calls.cancel(job_id))

    async def requeue(self, job_id: str) -> str:
        """Start a dead job anew; return the id of the new job, the same however often. Raises ``JobNotDeadError``."""
        accepted = await self._connection.call(calls.requeue(job_id))
        return accepted.job_id

    async def results(self, after: str | None = None, *, limit: int = 100, wait_s: int = 0) -> ResultsPage:
        """Return one page of the results feed, parked up to ``wait_s`` (30) seconds while it is empty.

        Raises ``CursorExpiredError`` if entries after the cursor ``after`` may be gone.
        """
        return await self._connection.call(calls.results(after, limit, wait_s))

    async def follow(
        self, after: str | None = None, *, cursor_file: Path | None = None, wait: bool = True
    ) -> AsyncIterator[ResultView]:
        """Yield what ends, in order; from the oldest kept, or after the cursor ``after``. It has no end with ``wait``.

        With a ``cursor_file`` it goes on where it was left. The file is written when a page is consumed, which is when
        the entry after its last is asked for: after a crash entries may come again, but none is left out.
        """
        file = CursorFile(cursor_file) if cursor_file is not None else None
        cursor = (file.read() if file else None) or after
        while True:
            asked = self._outside.monotonic()
            page = await self.results(cursor, limit=calls.PAGE_MAX, wait_s=calls.WAIT_S_MAX if wait else 0)
            for result in page.results:
                yield result
            if file is not None and page.next != cursor:
                await self._outside.apart(file.write, page.next)
            cursor = page.next
            if not page.results:
                if not wait:
                    return
                await self._outside.rest(asked)

    async def pull(self, top: int = 10) -> list[CompletedView]:
        """Return the newest hashes, at most ``top`` (1 to 10,000); nothing is removed."""
        return await self._connection.call(calls.pull(top))

    async def stats(self) -> Stats:
        """Return the queue in numbers."""
        return await self._connection.call(calls.stats())

    async def fleet(self) -> Fleet:
        """Return the fleet."""
        return await self._connection.call(calls.fleet())
