"""The API's side of the hop to the orchestrators: counted, bounded, and the judge of whether this instance is ready."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TypeVar

from dynwork import errors
from dynwork.api.metrics import Metrics
from dynwork.api.sharing import Sharing
from dynwork.clock import Clock
from dynwork.orchestrators import Orchestrators
from dynwork.wire import Reply, StatsReply, Wire

ASKS_IN_FLIGHT_MAX = 64
"""Reads that are at orchestrators at the same time; the others wait their turn."""
ASKS_WAITING_MAX = 2000
"""Reads in this instance at most, in flight or waiting, beside those of who waits in the tail; beyond: 503."""
ASK_S_MAX = 5.0
"""Longest wait for one orchestrator to answer a read, seconds."""
FRESH_S = 1.0
"""For how long an answer proves that orchestrators are there, and how long a failed probe is believed, seconds."""

ReplyT = TypeVar("ReplyT", bound=Reply)


class Gateway:
    """Calls orchestrators on behalf of the routes."""

    def __init__(self, orchestrators: Orchestrators, clock: Clock, metrics: Metrics) -> None:
        self._orchestrators = orchestrators
        self._clock = clock
        self._metrics = metrics
        self._asking = 0
        self._slots = asyncio.Semaphore(ASKS_IN_FLIGHT_MAX)
        self._reads = Sharing[Reply]()
        self._answered_at = float("-inf")
        self._probing = asyncio.Lock()
        self._probed_at = float("-inf")

    async def call(
        self,
        method: str,
        path: str,
        reply: type[ReplyT],
        *,
        body: Wire | None = None,
        params: Mapping[str, str | int] | None = None,
        timeout_s: float = ASK_S_MAX,
    ) -> ReplyT:
        """See :meth:`dynwork.orchestrators.Orchestrators.call`; this one counts how calls end."""
        outcome = "failed"
        try:
            answer = await self._orchestrators.call(method, path, reply, body=body, params=params, timeout_s=timeout_s)
            outcome = "answered"
        except (errors.RefusedError, errors.QueueFullError):
            outcome = "refused"
            raise
        finally:
            if outcome != "failed":
                self._answered_at = self._clock.monotonic()
            self._metrics.calls.labels(reply.__name__.removesuffix("Reply").lower(), outcome).inc()
        return answer

    async def ask(
        self,
        method: str,
        path: str,
        reply: type[ReplyT],
        params: Mapping[str, str | int] | None = None,
        *,
        placed: bool = False,
    ) -> ReplyT:
        """Carry out one small call for one request; equal ``GET`` requests share calls.

        Raises ``UnavailableError`` when too many wait already; who is ``placed``, in the tail, is bounded there.
        """

        async def call() -> Reply:
            async with self._slots:
                return await self.call(method, path, reply, params=params)

        if self._asking >= ASKS_WAITING_MAX and not placed:
            raise errors.UnavailableError(f"{self._asking} reads are waiting in this API instance: try again")
        counted = 0 if placed else 1
        self._asking += counted
        try:
            if method != "GET":
                answer = await call()
            else:
                answer = await self._reads.read((path, reply, *sorted((params or {}).items())), call)
        finally:
            self._asking -= counted
        assert isinstance(answer, reply)
        return answer

    async def missing(self) -> str | None:
        """Say what keeps this instance from working, ``None`` if an orchestrator answered lately or answers now.

        However often this is asked, orchestrators are probed once in ``FRESH_S`` at most.
        """
        async with self._probing:
            now = self._clock.monotonic()
            if not self._is_fresh(now) and now - self._probed_at >= FRESH_S:
                self._probed_at = now
                try:
                    await self.call("GET", "/internal/stats", StatsReply, timeout_s=FRESH_S)
                except errors.DynworkError as error:
                    return error.detail
            return None if self._is_fresh(self._clock.monotonic()) else "no orchestrator answers"

    def _is_fresh(self, now: float) -> bool:
        return now - self._answered_at < FRESH_S
