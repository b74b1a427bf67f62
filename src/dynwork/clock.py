"""Time, as an argument.

Everything that needs to know the time, or to wait, is given a :class:`Clock`; this is the only file that reads the
system's. Tests hand in :class:`dynwork.testing.clock.FakeClock` and advance it by hand.
"""

from __future__ import annotations

import asyncio
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
