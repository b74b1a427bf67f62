"""Time, as an argument.

Everything that needs to know the time, or to wait, is given a :class:`Clock`; this is the only file that reads the
system's. Tests hand in :class:`dynwork.testing.clock.FakeClock` and advance it by hand. Where several processes share a
store, theirs are disciplined to its time (:class:`DisciplinedClock`).
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import Protocol

Instant = float
"""A point in time: seconds since the Unix epoch, UTC."""


class Clock(Protocol):
    """What the time is, and how to wait until later."""

    def now(self) -> Instant:
        """Wall-clock time, seconds since the Unix epoch. Never goes backwards within one process."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; only differences mean anything."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds`` have passed. Pair it with an event wherever something may happen earlier."""
        ...


class SystemClock:
    """The operating system's time: the wall clock read once, then carried on by the monotonic clock.

    A step of the wall clock (NTP, an operator) therefore never moves a deadline of a running process.
    """

    def __init__(self) -> None:
        self._offset_s = time.time() - time.monotonic()

    def now(self) -> Instant:
        """See :meth:`Clock.now`."""
        return self._offset_s + time.monotonic()

    def monotonic(self) -> float:
        """See :meth:`Clock.monotonic`."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """See :meth:`Clock.sleep`."""
        await asyncio.sleep(seconds)


class DisciplinedClock:
    """The time of a server that several processes share, kept by one of them: it asks, and runs on between the answers.

    An answer was true at some moment between the question and its arrival, so it proves a range, and this clock is
    corrected no further than into that range: an answer that took long corrects little. Behind the server, it steps
    forward. Ahead of it, it runs at half speed until they are equal: what was told never becomes untrue by going back.
    Only before anyone has been told the time it is set, in whichever direction.
    """

    def __init__(self, base: Clock) -> None:
        """``base``: the local clock, which runs on between corrections; until the first one its time is told."""
        self._base = base
        self._offset_s = base.now() - base.monotonic()
        self._ahead_s, self._since = 0.0, base.monotonic()
        self._latest = -math.inf
        self.error_s = 0.0
        """How far off it was at the last correction, seconds: positive if ahead; 0 within what the answer proved."""

    def now(self) -> Instant:
        """See :meth:`Clock.now`."""
        self._latest = max(self._at(self._base.monotonic()), self._latest)
        return self._latest

    def monotonic(self) -> float:
        """See :meth:`Clock.monotonic`: that of the base, whatever is corrected."""
        return self._base.monotonic()

    async def sleep(self, seconds: float) -> None:
        """See :meth:`Clock.sleep`: seconds of the base."""
        await self._base.sleep(seconds)

    def correct(self, server_time: Instant, round_trip_s: float) -> None:
        """Heed an answer that arrives now. ``round_trip_s``: how long ago, in monotonic seconds, it was asked for."""
        at = self._base.monotonic()
        own = self._at(at)
        proved = min(max(own, server_time), server_time + round_trip_s)
        self.error_s = own - proved
        self._offset_s = proved - at
        self._ahead_s, self._since = (max(self.error_s, 0.0) if math.isfinite(self._latest) else 0.0), at

    def _at(self, at: float) -> Instant:
        """The time at ``at`` on the monotonic scale: true time, and what is left of having been ahead of it."""
        return self._offset_s + at + max(self._ahead_s - (at - self._since) / 2, 0.0)


async def wait_for_event(clock: Clock, event: asyncio.Event, timeout_s: float) -> bool:
    """Wait until ``event`` is set, at most ``timeout_s`` seconds of ``clock``; say whether it is set."""
    if event.is_set() or timeout_s <= 0:
        return event.is_set()
    async with asyncio.TaskGroup() as tasks:
        racers: list[asyncio.Task[object]] = [
            tasks.create_task(event.wait()),
            tasks.create_task(clock.sleep(timeout_s)),
        ]
        await asyncio.wait(racers, return_when=asyncio.FIRST_COMPLETED)
        for racer in racers:
            racer.cancel()
    return event.is_set()
