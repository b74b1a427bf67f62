"""What wakes parked asks: hints as they come, and behind them the truth, one watcher.

A round that made jobs claimable wakes as many asks as there are such jobs; a worker's own report wakes it if all its
lanes were taken. Jobs beyond the asks that sleep here are announced to the other orchestrators, whose workers may be
idle.

The watcher looks every second and at the next due time, however many are parked; a failure, which delays its job, makes
it look for that time anew, and an announcement makes it look at once. Work that waits through a whole second although
asks are parked wakes them all. So a hint that is lost costs a second.
"""

from __future__ import annotations

import asyncio

from dynwork.clock import Clock, Instant, wait_for_event
from dynwork.errors import StoreUnavailableError
from dynwork.orchestrator.announcements import Announcements
from dynwork.orchestrator.core.machine import Failed
from dynwork.orchestrator.outages import Outages
from dynwork.orchestrator.parking import Parking
from dynwork.orchestrator.store.commands import Receipt, Round
from dynwork.orchestrator.store.port import Store
from dynwork.orchestrator.store.values import News

LOOK_S = 1.0
"""How often the watcher looks while anyone is parked, seconds."""
LOOK_S_MIN = 0.001
"""Shortest pause between two looks: a due time a hair ahead must not make the watcher spin, seconds."""


class Wakes:
    """Wakes the asks parked in one orchestrator. :meth:`watch` must be running."""

    def __init__(
        self, parking: Parking, store: Store, clock: Clock, outages: Outages, announcements: Announcements
    ) -> None:
        self._parking = parking
        self._store = store
        self._clock = clock
        self._outages = outages
        self._announcements = announcements
        self._look = asyncio.Event()
        self._head: Instant | None = None
        self._head_since = 0.0
        announcements.on(News.CLAIMABLE, self._look.set)

    def nudge(self, claimable: int) -> None:
        """``claimable`` jobs may be claimed now that could not before."""
        if self._parking.nudge(claimable) < claimable:
            self._announcements.tell(News.CLAIMABLE)

    def committed(self, round_: Round, receipt: Receipt) -> None:
        """A round was committed."""
        for report in round_.reports:
            self._parking.ended_lease(report.worker_id)
            if isinstance(report.event, Failed):
                self._look.set()
        self.nudge(receipt.claimable)

    async def watch(self) -> None:
        """Look for work that is due, for ever, while anyone is parked."""
        while True:
            await self._parking.occupied.wait()
            self._look.clear()
            due: Instant | None = None
            try:
                due = await self._store.next_due(self._clock.now())
                waiting = (await self._store.totals()).queued if due is not None and due <= self._clock.now() else 0
            except StoreUnavailableError as error:
                self._outages.met("look", error)
            else:
                self._heed(due, waiting)
            await wait_for_event(self._clock, self._look, self._pause_s(due))

    def _heed(self, due: Instant | None, waiting: int) -> None:
        """``waiting`` jobs may be claimed, the first of them since ``due``: has that one waited through a second?"""
        now = self._clock.monotonic()
        head = due if waiting else None
        if head is None or head != self._head:
            self._head, self._head_since = head, now
        if now - self._head_since < LOOK_S - LOOK_S_MIN:
            self._parking.nudge(waiting)
        else:
            self._parking.wake_all()
            self._head_since = now

    def _pause_s(self, due: Instant | None) -> float:
        now = self._clock.now()
        return LOOK_S if due is None or due <= now else min(max(due - now, LOOK_S_MIN), LOOK_S)
