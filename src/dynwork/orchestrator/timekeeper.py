"""Keeps an orchestrator's clock to the store's, where several share one: it asks again and again.

While this clock is off, silence looks longer or shorter than it is, so :class:`~dynwork.orchestrator.grace.Grace` hears
how far off it was.
"""

from __future__ import annotations

from dynwork import logs
from dynwork.clock import DisciplinedClock
from dynwork.errors import StoreUnavailableError
from dynwork.orchestrator.metrics import Metrics
from dynwork.orchestrator.outages import Outages
from dynwork.orchestrator.store.port import Store

log = logs.get("dynwork.orchestrator.time")

ASK_S = 3.0
"""How often the store is asked for the time, seconds."""


class Timekeeper:
    """:meth:`run` must be running, after :meth:`begin`, before which nobody is told the time."""

    def __init__(self, store: Store, clock: DisciplinedClock, metrics: Metrics, outages: Outages) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._outages = outages

    async def run(self) -> None:
        """Ask for ever."""
        while True:
            await self._clock.sleep(ASK_S)
            await self.correct()

    async def correct(self) -> None:
        """Ask once more; a store that does not answer is asked again later."""
        try:
            await self.begin()
        except StoreUnavailableError as error:
            self._outages.met("time", error)

    async def begin(self) -> None:
        """Ask once. A store that serves only this orchestrator has no time of its own, and nothing is corrected.

        Raises ``StoreUnavailableError``. Whoever has had no answer yet must tell nobody the time: a machine whose clock
        is an hour ahead would put off jobs, and its own replacement as the leader, by that hour.
        """
        asked_at = self._clock.monotonic()
        told = await self._store.time()
        if told is None:
            return
        self._clock.correct(told, self._clock.monotonic() - asked_at)
        self._metrics.clock_error_seconds.set(self._clock.error_s)
        if self._outages.grace.clock_was_off(self._clock.error_s):
            log.warning("clock_off", ahead_s=round(self._clock.error_s, 3), help="is the clock of this machine kept?")
