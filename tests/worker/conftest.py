"""A worker in virtual time and the orchestrator that it talks to; and a real lane process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dynwork.settings import child_environment
from dynwork.testing import kinds as test_kinds
from dynwork.testing.clock import FakeClock
from dynwork.testing.one_worker import OneWorker, one_worker
from dynwork.testing.worker_side import OneOrchestrator
from dynwork.worker.lane_groups import OVERRUN_S_MAX, ProcessLanes


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


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The variables of a child that finds the kinds for tests, and any more that a test installs in ``tmp_path``."""
    return {**child_environment(), **test_kinds.install(tmp_path)}


@pytest.fixture
def deaths() -> list[str]:
    return []


@pytest.fixture
def overrun_s_max() -> float:
    """How long a slice may take beyond its time; a module that lets lanes hang says less."""
    return OVERRUN_S_MAX


@pytest.fixture
async def process(environment: dict[str, str], deaths: list[str], overrun_s_max: float) -> AsyncIterator[ProcessLanes]:
    """A lane process; each of its deaths is one entry of ``deaths``."""
    lanes = ProcessLanes(environment, on_death=lambda: deaths.append("died"), overrun_s_max=overrun_s_max)
    yield lanes
    await lanes.close()
