"""What differs between the two clients and is written by hand for each: HTTP, sleeping, threads, sources of work.

Everything else of the synchronous client is generated from the asynchronous one (``scripts/sync_client.py``): a name
that begins with ``Async`` stands there for the one without.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ParamSpec, TypeAlias, TypeVar

import httpx

from dynwork.client._work import Work
from dynwork.clock import SystemClock
from dynwork.ids import new_id

P = ParamSpec("P")
T = TypeVar("T")

Works: TypeAlias = Iterable[Work]
AsyncWorks: TypeAlias = Iterable[Work] | AsyncIterable[Work]

LOOK_S = 0.25
"""Shortest time between two looks at something that is waited for, should an API not park the call; seconds."""

_clock = SystemClock()


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)


@dataclass(frozen=True, slots=True)
class Outside:
    """Time, chance, ids and the network, as a :class:`~dynwork.client.Client` finds them; tests hand in their own.

    ``uniform`` draws from [0, 1). ``transport``: httpx's own if unset.
    """

    monotonic: Callable[[], float] = _clock.monotonic
    sleep: Callable[[float], None] = _pause
    uniform: Callable[[], float] = random.random
    new_id: Callable[[], str] = new_id
    transport: httpx.BaseTransport | None = None

    def apart(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what reads files or computes for long."""
        return function(*args, **kwargs)

    def rest(self, asked: float) -> None:
        """Wait until ``LOOK_S`` seconds have passed since ``asked``, if they have not."""
        rest_s = asked + LOOK_S - self.monotonic()
        if rest_s > 0:
            self.sleep(rest_s)


@dataclass(frozen=True, slots=True)
class AsyncOutside:
    """The same for an :class:`~dynwork.client.AsyncClient`."""

    monotonic: Callable[[], float] = _clock.monotonic
    sleep: Callable[[float], Awaitable[None]] = _clock.sleep
    uniform: Callable[[], float] = random.random
    new_id: Callable[[], str] = new_id
    transport: httpx.AsyncBaseTransport | None = None

    async def apart(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what reads files or computes for long, beside the event loop."""
        return await asyncio.to_thread(function, *args, **kwargs)

    async def rest(self, asked: float) -> None:
        """Wait until ``LOOK_S`` seconds have passed since ``asked``, if they have not."""
        rest_s = asked + LOOK_S - self.monotonic()
        if rest_s > 0:
            await self.sleep(rest_s)


class Source:
    """Gives the works of any iterable a few at a time."""

    def __init__(self, works: Works) -> None:
        self._works: Iterator[Work] = iter(works)
        self.is_dry = False
        """Whether there are no more."""

    def take(self, count: int) -> list[Work]:
        """Return the next ones, ``count`` unless fewer are left."""
        taken = list(itertools.islice(self._works, count))
        self.is_dry = len(taken) < count
        return taken


class AsyncSource:
    """The same, of an asynchronous iterable too."""

    def __init__(self, works: AsyncWorks) -> None:
        self._works: AsyncIterator[Work] | None = aiter(works) if isinstance(works, AsyncIterable) else None
        self._plain = Source(() if isinstance(works, AsyncIterable) else works)
        self.is_dry = False
        """Whether there are no more."""

    async def take(self, count: int) -> list[Work]:
        """Return the next ones, ``count`` unless fewer are left."""
        if self._works is None:
            taken = self._plain.take(count)
        else:
            taken = []
            while len(taken) < count and (work := await anext(self._works, None)) is not None:
                taken.append(work)
        self.is_dry = len(taken) < count
        return taken
