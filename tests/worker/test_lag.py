"""The worker measures how late its own event loop and its heartbeats are."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from dynwork.testing.clock import FakeClock
from dynwork.testing.one_worker import OneWorker
from dynwork.testing.orchestrators import held
from dynwork.testing.worker_side import HEARTBEAT, OneOrchestrator
from dynwork.worker import lag
from dynwork.worker.metrics import Metrics


class LateClock(FakeClock):
    """Wakes everyone so much later than asked for."""

    late_s = 0.0

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds + self.late_s)


@pytest.mark.parametrize("late_s", [0.0, 0.25])
async def test_the_lag_of_the_event_loop_is_how_much_too_long_it_sleeps(late_s: float) -> None:
    clock, registry = LateClock(), CollectorRegistry()
    clock.late_s = late_s
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(lag.watch(clock, Metrics(registry)))
        await clock.advance(3)
        watching.cancel()
    count = registry.get_sample_value("dynwork_worker_loop_lag_seconds_count")
    assert count is not None
    assert count > 0
    assert registry.get_sample_value("dynwork_worker_loop_lag_seconds_sum") == pytest.approx(count * late_s)


async def test_the_lag_of_a_heartbeat_is_from_due_to_answered(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    arrived, release = asyncio.Event(), asyncio.Event()
    orchestrator.faults[HEARTBEAT].append(held(arrived, release))
    await clock.advance(3.5)
    assert arrived.is_set()
    release.set()
    await clock.settle()
    assert worker.metric("heartbeat_lag_seconds_count") == 1
    assert worker.metric("heartbeat_lag_seconds_sum") == pytest.approx(0.5)
