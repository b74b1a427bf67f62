"""Virtual time: a clock that stands still until a test advances it."""

from __future__ import annotations

import asyncio
import heapq
import itertools

from dynwork.clock import Instant

SETTLE_TURNS = 50
"""Turns of the event loop given to woken tasks before time moves on."""


class FakeClock:
    """A :class:`dynwork.clock.Clock` moved by hand. Sleepers wake in order of their deadlines."""

    def __init__(self, start: Instant = 1_000_000_000.0) -> None:
        self._now = start
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> Instant:
        """See :meth:`dynwork.clock.Clock.now`."""
        return self._now

    def monotonic(self) -> float:
        """See :meth:`dynwork.clock.Clock.monotonic`."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Wait until the test has advanced the clock by ``seconds``."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), done))
        await done

    async def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass: wake every sleeper at its own time, and let what it does settle before going on."""
        await self.settle()
        until = self._now + seconds
        while self._sleepers and self._sleepers[0][0] <= until:
            due, _, done = heapq.heappop(self._sleepers)
            self._now = max(self._now, due)
            if not done.done():
                done.set_result(None)
            await self.settle()
        self._now = until

    async def settle(self) -> None:
        """Give every task that can run its turns."""
        for _ in range(SETTLE_TURNS):
            await asyncio.sleep(0)
