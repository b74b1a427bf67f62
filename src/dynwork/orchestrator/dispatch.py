"""Handing out work: asks that find none are parked until there is some.

An ask parks before its first look and looks again whenever it is woken (:mod:`.wakes`); each look is one item of a
round. Nobody polls. An ask ends with work, with an order to drain, at its deadline, when the role stops, or when its
client has gone, and then it takes no lease: its look is cancelled, and a round skips what was cancelled before it was
drawn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from dynwork import logs
from dynwork.clock import Clock, wait_for_event
from dynwork.errors import ClientGoneError, DynworkError
from dynwork.orchestrator.core.worker import Worker, WorkerState
from dynwork.orchestrator.metrics import Metrics
from dynwork.orchestrator.parking import Parking, Place
from dynwork.orchestrator.rounds import Rounds
from dynwork.orchestrator.store.commands import Ask, Grant

log = logs.get("dynwork.orchestrator.dispatch")

Gone = Callable[[], Awaitable[None]]
"""Returns when the client of a request has closed its connection."""


class Dispatch:
    """Answers asks for work."""

    def __init__(self, rounds: Rounds, parking: Parking, clock: Clock, metrics: Metrics, wait_s_max: float) -> None:
        """``wait_s_max``: longest that an ask is parked, whatever it wishes, seconds."""
        self._rounds = rounds
        self._parking = parking
        self._clock = clock
        self._metrics = metrics
        self._wait_s_max = wait_s_max
        self._stopping = False
        metrics.parked.set_function(lambda: len(parking))

    async def lease(self, ask: Ask, wait_s: float, gone: Gone) -> Grant:
        """Answer ``ask``, within ``wait_s`` seconds. Raises ``ClientGoneError``, ``UnavailableError``."""
        async with asyncio.TaskGroup() as tasks:
            answering = tasks.create_task(self._answer(ask, min(wait_s, self._wait_s_max)))
            leaving = tasks.create_task(_wait(gone))
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
            answering.cancel()
            leaving.cancel()
        if answering.cancelled():
            raise ClientGoneError("the connection was closed before there was work")
        answer = answering.result()
        if isinstance(answer, DynworkError):
            raise answer
        self._metrics.granted.inc(len(answer.grants))
        about = log.bind(worker_id=ask.facts.worker_id)
        for job in answer.grants:
            about.debug("leased", job_id=job.job_id, epoch=job.lease.epoch)
        return answer

    async def _answer(self, ask: Ask, wait_s: float) -> Grant | DynworkError:
        """Return the refusal as a value: raised, the task group would wrap it."""
        deadline = self._clock.monotonic() + wait_s
        try:
            with self._parking.place(ask.facts, len(set(ask.holding).difference(ask.unreported))) as place:
                return await self._look_until(deadline, ask, place)
        except DynworkError as error:
            return error

    async def _look_until(self, deadline: float, ask: Ask, place: Place) -> Grant:
        while not (self._stopping or place.dismissed):
            place.wake.clear()
            grant = await self._rounds.ask(ask)
            if grant.grants or grant.drain:
                return grant
            if not await wait_for_event(self._clock, place.wake, deadline - self._clock.monotonic()):
                break
        return Grant()

    def drain(self, workers: Iterable[Worker]) -> None:
        """Wake those of ``workers`` that are to go: their next look is answered so."""
        self._parking.wake_workers(worker.facts.worker_id for worker in workers if worker.state is WorkerState.DRAINING)

    def stop(self) -> None:
        """Answer everyone who is parked, and whoever asks from now on, with nothing."""
        self._stopping = True
        self._parking.wake_all()


async def _wait(gone: Gone) -> None:
    await gone()
