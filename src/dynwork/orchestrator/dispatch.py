"""Handing out work: asks that find none are parked until there is some.

An ask parks before its first look and looks again whenever it is woken; each look is one item of a round. Wakes are
hints: a round that made jobs claimable wakes as many as there are such jobs; a worker's own report wakes it if all its
lanes were taken. The truth is one watcher, which looks every second and at the next due time, however many are parked;
a failure, which delays its job, makes it look for that time anew. Work that waits through a whole second although asks
are parked wakes them all. Nobody polls.

An ask ends with work, with an order to drain, at its deadline, when the role stops, or when its client has gone, and
then it takes no lease: its look is cancelled, and a round skips what was cancelled before it was drawn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from dynwork import logs
from dynwork.clock import Clock, wait_for_event
from dynwork.errors import ClientGoneError, DynworkError, StoreUnavailableError
from dynwork.orchestrator.core.machine import Failed
from dynwork.orchestrator.core.worker import Worker, WorkerState
from dynwork.orchestrator.metrics import Metrics
from dynwork.orchestrator.parking import Parking, Place
from dynwork.orchestrator.rounds import Rounds
from dynwork.orchestrator.store.commands import Ask, Grant, Receipt, Round
from dynwork.orchestrator.store.port import Store

log = logs.get("dynwork.orchestrator.dispatch")

LOOK_S = 1.0
"""How often the watcher looks while anyone is parked, seconds."""
LOOK_S_MIN = 0.001
"""Shortest pause between two looks: a due time a hair ahead must not make the watcher spin, seconds."""

Gone = Callable[[], Awaitable[None]]
"""Returns when the client of a request has closed its connection."""


class Dispatch:
    """Answers asks for work. :meth:`watch` must be running."""

    def __init__(self, rounds: Rounds, store: Store, clock: Clock, metrics: Metrics, wait_s_max: float) -> None:
        """``wait_s_max``: longest that an ask is parked, whatever it wishes, seconds."""
        self._rounds = rounds
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._wait_s_max = wait_s_max
        self._parking = Parking()
        self._delayed = asyncio.Event()
        self._stopping = False
        metrics.parked.set_function(lambda: len(self._parking))
        rounds.on_commit(self._committed)

    # -- one ask
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

    # -- what wakes asks
    def nudge(self, claimable: int) -> None:
        """``claimable`` jobs may be claimed now that could not before."""
        self._parking.nudge(claimable)

    def drain(self, workers: Iterable[Worker]) -> None:
        """Wake those of ``workers`` that are to go: their next look is answered so."""
        self._parking.wake_workers(worker.facts.worker_id for worker in workers if worker.state is WorkerState.DRAINING)

    def stop(self) -> None:
        """Answer everyone who is parked, and whoever asks from now on, with nothing."""
        self._stopping = True
        self._parking.wake_all()

    def _committed(self, round_: Round, receipt: Receipt) -> None:
        for report in round_.reports:
            self._parking.ended_lease(report.worker_id)
            if isinstance(report.event, Failed):
                self._delayed.set()
        self._parking.nudge(receipt.claimable)

    # -- the truth behind the hints
    async def watch(self) -> None:
        """Look for work that is due, for ever, while anyone is parked."""
        due_before: float | None = None
        while True:
            await self._parking.occupied.wait()
            try:
                due = await self._store.next_due(self._clock.now())
                waiting = (await self._store.totals()).queued if due is not None and due <= self._clock.now() else 0
            except StoreUnavailableError as error:
                self._metrics.store_errors.labels("look").inc()
                log.warning("store_unavailable", during="look", error=error.detail)
                due, waiting = None, 0
            if waiting and due == due_before:
                self._parking.wake_all()
            else:
                self._parking.nudge(waiting)
            due_before = due if waiting else None
            await wait_for_event(self._clock, self._delayed, self._pause_s(due))
            self._delayed.clear()

    def _pause_s(self, due: float | None) -> float:
        now = self._clock.now()
        return LOOK_S if due is None or due <= now else min(max(due - now, LOOK_S_MIN), LOOK_S)


async def _wait(gone: Gone) -> None:
    await gone()
