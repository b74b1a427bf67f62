"""How this worker reaches orchestrators: one answer or one failure at a time, told to everyone whom it concerns.

:class:`~dynwork.orchestrators.Orchestrators` tries each of them; here is what comes after all were tried: the log says
once that they are lost and once that they are back, readiness knows the reason, and :class:`Backoff` says how long each
conversation waits. Who is back for one conversation wakes those that still wait for another.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import TypeVar

from dynwork import logs
from dynwork.clock import Clock, wait_for_event
from dynwork.errors import RefusedError, UnavailableError
from dynwork.orchestrators import Orchestrators
from dynwork.wire import Reply, WorkerMessage

ReplyT = TypeVar("ReplyT", bound=Reply)

BACKOFF_S = 0.1
"""First wait after a failure, seconds; doubling, half of it jitter."""


class Backoff:
    """Exponential, with equal jitter: workers that lost the same orchestrator do not come back together."""

    def __init__(self, uniform: Callable[[], float], cap_s: float) -> None:
        """``uniform`` draws from [0, 1)."""
        self._uniform = uniform
        self._cap_s = cap_s
        self._failures = 0

    def next_s(self) -> float:
        """Return how long to wait after one more failure, seconds."""
        ceiling = min(BACKOFF_S * 2.0 ** min(self._failures, 30), self._cap_s)
        self._failures += 1
        return ceiling * (0.5 + self._uniform() / 2)

    def reset(self) -> None:
        """It worked."""
        self._failures = 0


class Contact:
    """The line to the orchestrators, shared by all conversations of one worker."""

    def __init__(self, orchestrators: Orchestrators, clock: Clock, worker_id: str) -> None:
        self._orchestrators = orchestrators
        self._clock = clock
        self._made = asyncio.Event()
        self._answered_at: float | None = None
        self._served_at = clock.monotonic()
        self._log = logs.get("dynwork.worker").bind(worker_id=worker_id)
        self.trouble: str | None = "none has been asked yet"
        """Why the latest call failed; ``None`` after one that was answered."""

    @property
    def silent_s(self) -> float:
        """How long ago an orchestrator last answered, seconds; infinite before the first answer."""
        return math.inf if self._answered_at is None else self._clock.monotonic() - self._answered_at

    @property
    def unserved_s(self) -> float:
        """How long ago an orchestrator last did what it was asked, seconds; counted from the start before the first."""
        return self._clock.monotonic() - self._served_at

    async def call(self, path: str, reply: type[ReplyT], body: WorkerMessage, timeout_s: float) -> ReplyT:
        """Ask the orchestrators. Raises ``RefusedError`` if one refuses, ``UnavailableError`` if none answers."""
        try:
            answer = await self._orchestrators.call("POST", path, reply, body=body, timeout_s=timeout_s)
        except UnavailableError as error:
            self._lost("; ".join(self._orchestrators.troubles) or error.detail)
            raise
        except RefusedError:
            self._reached()
            raise
        self._reached()
        self._served_at = self._clock.monotonic()
        return answer

    async def pause(self, seconds: float) -> None:
        """Wait before trying again: until another conversation gets through, at most ``seconds``."""
        self._made.clear()
        await wait_for_event(self._clock, self._made, seconds)

    def _reached(self) -> None:
        if self.trouble is not None:
            if self._answered_at is None:
                self._log.info("orchestrator_found")
            else:
                self._log.info("orchestrator_back", silent_s=round(self.silent_s, 3))
        self.trouble = None
        self._answered_at = self._clock.monotonic()
        self._made.set()

    def _lost(self, detail: str) -> None:
        if self.trouble is None:
            self._log.warning("orchestrator_lost", detail=detail)
        self.trouble = detail
