"""The store's absences: whoever meets one says so here, and whoever has just written something says that it is over.

It is counted, logged and heard by :class:`~dynwork.orchestrator.grace.Grace`: what one part of an orchestrator cannot
reach, the workers' heartbeats may not have reached either. Only a write ends an outage: a full disk can still be read.
The log names everything that has met an outage once, and its end with how long it was.
"""

from __future__ import annotations

from dynwork import logs
from dynwork.clock import Clock
from dynwork.errors import StoreUnavailableError
from dynwork.orchestrator.grace import Grace
from dynwork.orchestrator.metrics import Metrics

log = logs.get("dynwork.orchestrator.store")


class Outages:
    """Shared by everything in one orchestrator that uses the store. ``grace`` is what hears of them."""

    def __init__(self, grace: Grace, clock: Clock, metrics: Metrics) -> None:
        self.grace = grace
        self._clock = clock
        self._metrics = metrics
        self._began: float | None = None
        self._named: set[str] = set()

    def met(self, during: str, error: StoreUnavailableError) -> None:
        """The store did not serve. ``during``: at what, one word of a few."""
        self.grace.store_failed()
        if self._began is None:
            self._began = self._clock.monotonic()
        self.missed(during, error)

    def missed(self, during: str, error: StoreUnavailableError) -> None:
        """The store did not serve something that nothing depends on: a hint."""
        self._metrics.store_errors.labels(during).inc()
        say = log.debug if during in self._named else log.warning
        say("store_unavailable", during=during, error=error.detail)
        self._named.add(during)

    def over(self) -> None:
        """The store has just committed something."""
        self.grace.store_served()
        self._named.clear()
        if self._began is not None:
            log.info("store_back", away_s=round(self._clock.monotonic() - self._began, 3))
            self._began = None
