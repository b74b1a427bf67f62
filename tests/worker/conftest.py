"""A worker in virtual time and the orchestrator that it talks to."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from dynwork.testing.clock import FakeClock
from dynwork.testing.one_worker import OneWorker, one_worker
from dynwork.testing.worker_side import OneOrchestrator


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def orchestrator(clock: FakeClock) -> OneOrchestrator:
    return OneOrchestrator(clock)


@pytest.fixture
async def worker(clock: FakeClock, orchestrator: OneOrchestrator) -> AsyncIterator[OneWorker]:
    async with one_worker(clock, orchestrator) as worker:
        await clock.settle()
        yield worker
