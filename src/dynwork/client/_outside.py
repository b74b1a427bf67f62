"""What differs between the two clients and is written by hand for each: HTTP, sleeping, threads, sources of work.

Everything else of the synchronous client is generated from the asynchronous one (``scripts/sync_client.py``): a name
that begins with ``Async`` stands there for the one without.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Generator, Iterable, Iterator
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

TAKE_S = 0.25
"""How long works are taken from a source before those that came are handed in, seconds."""

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
    """Gives the works of any iterable a few at a time.

    What it raises is kept in ``error`` until all that came before is told; a thing that is no work is such an error.
    """

    def __init__(self, works: Works, monotonic: Callable[[], float]) -> None:
        self._works: Iterator[Work] = iter(works)
        self._monotonic = monotonic
        self.is_dry = False
        """Whether there are no more."""
        self.error: Exception | None = None

    def take(self, count: int) -> list[Work]:
        """Return the next ones, at most ``count``; fewer if they came slowly (``TAKE_S``) or no more are left."""
        taken: list[Work] = []
        until = self._monotonic() + TAKE_S
        try:
            while len(taken) < count:
                taken.append(_work(next(self._works)))
                if self._monotonic() >= until:
                    break
        except StopIteration:
            self.is_dry = True
        except Exception as error:  # noqa: BLE001 - the source is foreign code: it is raised once the others are told
            self.is_dry, self.error = True, error
        return taken

    def close(self) -> None:
        """Let go of a generator: what it has open is closed now, and not some time."""
        if isinstance(self._works, Generator):
            self._works.close()


class AsyncSource:
    """The same, of an asynchronous iterable too."""

    def __init__(self, works: AsyncWorks, monotonic: Callable[[], float]) -> None:
        self._works = aiter(works if isinstance(works, AsyncIterable) else _one_by_one(iter(works)))
        self._monotonic = monotonic
        self.is_dry = False
        """Whether there are no more."""
        self.error: Exception | None = None

    async def take(self, count: int) -> list[Work]:
        """Return the next ones, at most ``count``; fewer if they came slowly (``TAKE_S``) or no more are left."""
        taken: list[Work] = []
        until = self._monotonic() + TAKE_S
        try:
            while len(taken) < count:
                taken.append(_work(await anext(self._works)))
                if self._monotonic() >= until:
                    break
        except StopAsyncIteration:
            self.is_dry = True
        except Exception as error:  # noqa: BLE001 - the source is foreign code: it is raised once the others are told
            self.is_dry, self.error = True, error
        return taken

    async def aclose(self) -> None:
        """Let go of a generator: what it has open is closed now, and not some time."""
        if isinstance(self._works, AsyncGenerator):
            await self._works.aclose()


async def _one_by_one(works: Iterator[Work]) -> AsyncGenerator[Work, None]:
    try:
        for work in works:
            yield work
    finally:
        if isinstance(works, Generator):
            works.close()


def _work(given: object) -> Work:
    if not isinstance(given, Work):
        raise TypeError(f"a source gives works (dynwork.Work), not {type(given).__name__}")
    return given
