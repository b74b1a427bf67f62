"""Once a second, by the leader: expire the leases of silent workers, forget the lost, delete what has been kept enough.

``now`` is read once a tick, together with the look at how late the tick is: a stall inside a tick can only make it
expire too little. Every tick begins with a write, so that a store which is back is known to be back. A store that fails
is logged and met again at the next tick.
"""

from __future__ import annotations

from collections.abc import Callable

from dynwork import logs
from dynwork.clock import Clock, Instant
from dynwork.errors import StaleLeaderError, StoreUnavailableError
from dynwork.orchestrator.metrics import Metrics
from dynwork.orchestrator.outages import Outages
from dynwork.orchestrator.store.port import Store
from dynwork.orchestrator.store.values import Swept

log = logs.get("dynwork.orchestrator.sweep")

TICK_S = 1.0
"""How often the sweep looks, seconds."""
EXPIRE_MAX = 500
"""Leases expired in one transaction at most: rounds get their turn in between."""
RETIRE_MAX = 500
"""Jobs deleted in one transaction at most."""
RETIRE_BATCHES_MAX = 10
"""Transactions of deletion in one tick at most; what is left waits for the next."""
FORGET_AFTER_S = 3600.0
"""A lost worker without leases is shown, and a dead orchestrator remembered, for this long, seconds."""


class Sweep:
    """The sweeper: :meth:`run` must be running."""

    def __init__(self, store: Store, clock: Clock, metrics: Metrics, outages: Outages, retention_s: float) -> None:
        """``retention_s``: jobs are kept for this long after their end, seconds."""
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._outages = outages
        self._grace = outages.grace
        self._retention_s = retention_s
        self._swept: list[Callable[[Swept], None]] = []

    def on_swept(self, listener: Callable[[Swept], None]) -> None:
        """Call ``listener`` with what came of leases that expired."""
        self._swept.append(listener)

    async def run(self, leadership: Callable[[], int | None]) -> None:
        """Sweep for ever, under the epoch that ``leadership`` names, whenever it names one."""
        self._grace.look(0)
        while True:
            await self._clock.sleep(TICK_S)
            now, late_s = self._clock.now(), self._grace.look(TICK_S)
            self._metrics.sweep_lag_seconds.set(late_s)
            if self._grace.is_stall(late_s):
                log.warning("stalled", late_s=round(late_s, 3))
            epoch = leadership()
            if epoch is None:
                continue
            try:
                await self._tick(epoch, now)
            except StaleLeaderError as error:
                log.info("leadership_passed", during="sweep", epoch=epoch, reason=error.detail)
            except StoreUnavailableError as error:
                self._outages.met("sweep", error)

    async def worker_gone(self, worker_id: str) -> None:
        """The worker's process is known to be dead: its leases end now, whatever the grace.

        Raises ``StoreUnavailableError``; then they end when they expire.
        """
        self._heed(await self._store.worker_gone(worker_id, self._clock.now()))

    async def _tick(self, epoch: int, now: Instant) -> None:
        forgotten = await self._store.forget(epoch, now - FORGET_AFTER_S)
        self._outages.over()
        if forgotten:
            log.info("workers_forgotten", workers=forgotten)
        more = not self._grace.lasts()
        while more:
            swept = await self._store.expire(epoch, now, EXPIRE_MAX)
            self._heed(swept)
            more = swept.more
        retired = 0
        for _ in range(RETIRE_BATCHES_MAX):
            deleted = await self._store.retire(epoch, now - self._retention_s, RETIRE_MAX)
            retired += deleted
            if deleted < RETIRE_MAX:
                break
        if retired:
            log.info("jobs_retired", jobs=retired)

    def _heed(self, swept: Swept) -> None:
        if swept.workers or swept.expired:
            log.info("leases_expired", worker_ids=swept.workers, leases=swept.expired, dead=swept.ended)
        self._metrics.expired.inc(swept.expired)
        for listener in self._swept:
            listener(swept)
