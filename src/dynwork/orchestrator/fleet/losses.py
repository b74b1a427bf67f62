"""What is gone is noted, the leases of its worker are given back at once, what never was of use is a failure."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from dynwork import logs
from dynwork.clock import Clock
from dynwork.errors import StaleLeaderError, StoreUnavailableError
from dynwork.orchestrator.core.instance import Gone, Instance, InstanceState
from dynwork.orchestrator.fleet.launching import Launcher
from dynwork.orchestrator.fleet.provider import Exit
from dynwork.orchestrator.store.port import Store

log = logs.get("dynwork.fleet")

WorkerGone = Callable[[str], Awaitable[object]]
"""Told the id of a worker whose process is known to be dead."""


class Losses:
    """Notes losses. ``epoch``: under which this orchestrator leads now, if it does."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        launcher: Launcher,
        epoch: Callable[[], int | None],
        worker_gone: WorkerGone | None,
    ) -> None:
        """``worker_gone``: how leases of dead workers are given back at once; ``None`` leaves them to expire."""
        self._store = store
        self._clock = clock
        self._launcher = launcher
        self._epoch = epoch
        self._worker_gone = worker_gone

    async def watch(self, next_exit: Callable[[], Awaitable[Exit]], wake: asyncio.Event) -> None:
        """Note each end that the provider hints at, and set ``wake`` after each, until cancelled."""
        while True:
            exited = await next_exit()
            try:
                await self.ended(exited)
            except (StaleLeaderError, StoreUnavailableError) as error:  # reconcile sees it, too, a little later
                log.warning("exit_not_noted", instance_id=exited.instance_id, code=error.code)
            wake.set()

    async def gone(self, epoch: int, row: Instance, worker_id: str | None, reason: str) -> None:
        """Note that a machine is gone, and with it its worker, if it ever had one."""
        await self._tell(worker_id)
        await self._note(epoch, row, reason)

    async def ended(self, exited: Exit) -> None:
        """Note an end that the provider hinted at."""
        log.info("machine_ended", instance_id=exited.instance_id, reason=exited.reason)
        if exited.provider_id is not None:  # of several of one id it may be one that nobody counts on: looks tell
            return
        workers = await self._store.workers()
        named = [w.facts.worker_id for w in workers if w.facts.instance_id == exited.instance_id]
        await self._tell(named[0] if named else None)
        epoch = self._epoch()
        if epoch is None:
            return
        for row in await self._store.instances():
            if row.instance_id == exited.instance_id:
                await self._note(epoch, row, exited.reason)

    async def _note(self, epoch: int, row: Instance, reason: str) -> None:
        now = self._clock.now()
        after = await self._store.instance_event(epoch, row.instance_id, Gone(reason), now)
        self._launcher.over(row.instance_id)
        never_of_use = row.state in (InstanceState.INTENDED, InstanceState.BOOTING)
        if never_of_use and after is not None and after.ended_at == now:  # else it was noted before
            self._launcher.failed(reason)

    async def _tell(self, worker_id: str | None) -> None:
        if self._worker_gone is not None and worker_id is not None:
            await self._worker_gone(worker_id)
