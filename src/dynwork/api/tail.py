"""One tail of the results feed for the whole API instance, and those who wait for something in it.

However many requests wait for jobs, one call to an orchestrator is parked for all of them. A waiter takes its place
BEFORE its first look, is woken when its job, or a job of its owner, ended, and looks again: a wake is a hint. Whenever
the thread may be lost (it just began, no orchestrator answered, the position is no longer kept) everybody is woken.
While nobody waits, nothing is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from dynwork import errors, logs
from dynwork.api.gateway import Gateway
from dynwork.clock import Clock, wait_for_event
from dynwork.wire import TailReply

log = logs.get("dynwork.api.tail")

WAITERS_MAX = 20_000
"""Requests that may wait in this instance at the same time; beyond: 503."""
POLL_S = 5.0
"""How long a call for more is parked at an orchestrator, seconds: one that stands still keeps waiters no longer."""
ANSWER_S = 2.0
"""How long the answer may take beyond that, seconds."""
PAUSE_S = 0.5
"""Wait after a call that failed, seconds."""
WAIT_S_MAX = 30
"""Longest that a request may wish to wait, seconds."""

T = TypeVar("T")


@dataclass(frozen=True, eq=False, slots=True)
class Waiter:
    """Who waits, and for what: one job, or whatever of ``owner``'s (``None``: anybody's) ends."""

    job_id: str | None = None
    owner: str | None = None
    bell: asyncio.Event = field(default_factory=asyncio.Event)


class Tail:
    """Follows the feed for all who wait (:meth:`run`)."""

    def __init__(self, gateway: Gateway, clock: Clock) -> None:
        self._gateway = gateway
        self._clock = clock
        self._by_job: dict[str, dict[Waiter, None]] = {}
        self._by_owner: dict[str | None, dict[Waiter, None]] = {}
        self._waiting = 0
        self._wanted = asyncio.Event()
        self._position: int | None = None
        self.stopping = False
        """Set at the stop: nobody waits any longer."""

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self._waiting

    @contextmanager
    def place(self, waiter: Waiter) -> Generator[asyncio.Event]:
        """Wait in the tail; the bell rings when there may be something. Raises ``UnavailableError`` if it is full."""
        if self._waiting >= WAITERS_MAX:
            raise errors.UnavailableError(f"{self._waiting} requests are waiting in this API instance: try again")
        self._waiting += 1
        group = self._group(waiter)
        group[waiter] = None
        self._wanted.set()
        try:
            yield waiter.bell
        finally:
            self._waiting -= 1
            del group[waiter]
            if not group:
                self._forget(waiter)

    async def until(
        self, waiter: Waiter, wait_s: float, look: Callable[[], Awaitable[T]], enough: Callable[[T], bool]
    ) -> T:
        """Look, and again whenever something ended, until it is ``enough`` or ``wait_s`` are over; return the last.

        Raises what ``look`` raises, and ``UnavailableError``.
        """
        if wait_s <= 0:
            return await look()
        deadline = self._clock.monotonic() + wait_s
        with self.place(waiter) as bell:
            while True:
                bell.clear()
                seen = await look()
                left_s = deadline - self._clock.monotonic()
                if enough(seen) or left_s <= 0 or self.stopping:
                    return seen
                await wait_for_event(self._clock, bell, left_s)

    async def position(self) -> int:
        """Return where the tail is now. Raises ``NoOrchestratorError``."""
        return (await self._gateway.ask("GET", "/internal/tail", TailReply)).next

    def stop(self) -> None:
        """Let everybody look once more and go."""
        self.stopping = True
        self._wake_all()

    async def run(self) -> None:
        """Follow until cancelled, while anybody waits."""
        while True:
            if not self._waiting:
                self._position = None
                self._wanted.clear()
                await self._wanted.wait()
            try:
                await self._follow()
            except errors.CursorExpiredError:
                self._position = None  # everybody is woken once it is found anew
            except errors.DynworkError as error:  # a refusal too: an orchestrator of another release may not know this
                log.warning("tail_not_followed", code=error.code)
                self._wake_all()
                await self._clock.sleep(PAUSE_S)

    async def _follow(self) -> None:
        if self._position is None:
            self._position = await self.position()
            self._wake_all()  # what ended before this position was nobody's business here
            return
        reply = await self._gateway.call(
            "GET",
            "/internal/tail",
            TailReply,
            params={"after": self._position, "wait_s": int(POLL_S)},
            timeout_s=POLL_S + ANSWER_S,
        )
        self._position = reply.next
        for ended in reply.ended:
            self._ring(self._by_job.get(ended.job_id))
        for owner in {ended.owner for ended in reply.ended}:
            self._ring(self._by_owner.get(owner))
        if reply.ended:
            self._ring(self._by_owner.get(None))

    @staticmethod
    def _ring(group: dict[Waiter, None] | None) -> None:
        for waiter in group or ():
            waiter.bell.set()

    def _wake_all(self) -> None:
        for group in (*self._by_job.values(), *self._by_owner.values()):
            self._ring(group)

    def _group(self, waiter: Waiter) -> dict[Waiter, None]:
        if waiter.job_id is not None:
            return self._by_job.setdefault(waiter.job_id, {})
        return self._by_owner.setdefault(waiter.owner, {})

    def _forget(self, waiter: Waiter) -> None:
        if waiter.job_id is not None:
            del self._by_job[waiter.job_id]
        else:
            del self._by_owner[waiter.owner]
