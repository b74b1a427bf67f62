"""Equal reads that are asked for at the same time share calls: one is under way, and all who come meanwhile share the
next. Nobody is answered by a call that began before they asked, so what made them ask is in what they see.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from dynwork import errors

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class _Reading(Generic[T]):
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    askers: int = 0
    begun: int = 0
    """Calls begun so far."""
    told: int = 0
    """Which of them the outcome is from."""
    outcome: asyncio.Future[T] = field(default_factory=asyncio.Future)


class Sharing(Generic[T]):
    """The reads that are under way, by what makes them equal."""

    def __init__(self) -> None:
        self._readings: dict[Hashable, _Reading[T]] = {}

    async def read(self, key: Hashable, call: Callable[[], Awaitable[T]]) -> T:
        """Return what ``call`` returns, or what an equal one did that began after this was asked; raise likewise."""
        reading = self._readings.setdefault(key, _Reading())
        before = reading.begun
        reading.askers += 1
        try:
            async with reading.turn:
                if reading.told <= before:
                    await _tell(reading, call)
                return reading.outcome.result()
        finally:
            reading.askers -= 1
            if not reading.askers:
                del self._readings[key]


async def _tell(reading: _Reading[T], call: Callable[[], Awaitable[T]]) -> None:
    """Call once. If the asker goes meanwhile nothing is told, and the next in line calls."""
    reading.begun += 1
    number, outcome = reading.begun, asyncio.Future[T]()
    try:
        outcome.set_result(await call())
    except errors.DynworkError as error:
        outcome.set_exception(error)
    reading.told, reading.outcome = number, outcome
