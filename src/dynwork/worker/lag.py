"""How responsive the worker's event loop is, measured all the time: one that starves is seen before it matters."""

from __future__ import annotations

from dynwork.clock import Clock
from dynwork.worker.metrics import Metrics

EVERY_S = 0.05


async def watch(clock: Clock, metrics: Metrics) -> None:
    """Sleep, and observe how much too long that was; for ever."""
    while True:
        began = clock.monotonic()
        await clock.sleep(EVERY_S)
        metrics.loop_lag.observe(max(clock.monotonic() - began - EVERY_S, 0.0))
