"""A whole worker in virtual time: its real parts over simulated lanes, talking to one orchestrator or to several."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
from prometheus_client import CollectorRegistry

from dynwork.kinds import Kind
from dynwork.orchestrators import Orchestrators
from dynwork.testing.clock import FakeClock
from dynwork.testing.council import Council
from dynwork.testing.lanes import PLAIN, SimulatedLanes
from dynwork.testing.worker_side import OneOrchestrator
from dynwork.worker import loop
from dynwork.worker.asking import Asking
from dynwork.worker.contact import Contact
from dynwork.worker.desk import Desk, Identity
from dynwork.worker.heartbeat import Heartbeat
from dynwork.worker.lanes import Lanes, Slot
from dynwork.worker.metrics import Metrics
from dynwork.worker.pace import Pace
from dynwork.worker.reporting import Reporting

STEPS_PER_S = 1000.0
"""Speed of each simulated lane."""
STOP_S = 4.0
RULES = loop.Rules(STOP_S)
SLICE_S = 0.05
SLOTS = 2


@dataclass(slots=True)
class OneWorker:
    """The parts that tests look at. ``running`` ends when the worker has stopped."""

    desk: Desk
    contact: Contact
    registry: CollectorRegistry
    lanes: list[SimulatedLanes]
    slots: list[Slot]
    stop: asyncio.Event
    running: asyncio.Task[None]

    def metric(self, name: str, **labels: str) -> float:
        """Read one metric, 0 if it was never counted."""
        return self.registry.get_sample_value(f"dynwork_worker_{name}", labels) or 0.0


@asynccontextmanager
async def one_worker(
    clock: FakeClock,
    orchestrator: OneOrchestrator | Council,
    kinds: Mapping[str, Kind] | None = None,
    worker_id: str = "w1",
    incarnation: str = "i1",
    rules: loop.Rules = RULES,
) -> AsyncIterator[OneWorker]:
    """Run a worker of two slots, calibrated to what its lanes make; it is cancelled at the end if it still runs."""
    kinds = kinds or {PLAIN.name: PLAIN}
    registry = CollectorRegistry()
    identity = Identity(worker_id, incarnation, clock.now(), SLOTS, "python", tuple(kinds))
    pace = Pace(SLOTS, {name: kind.lanes for name, kind in kinds.items()})
    desk = Desk(identity, kinds, pace, Metrics(registry), clock)
    pace.calibrate([STEPS_PER_S] * SLOTS, [STEPS_PER_S] * SLOTS)
    groups = [SimulatedLanes(clock, STEPS_PER_S) for _ in range(SLOTS)]
    slots = [Slot(group, group) for group in groups]
    lanes = Lanes(desk, slots, SLICE_S)
    stop = asyncio.Event()
    async with httpx.AsyncClient(transport=orchestrator) as http, asyncio.TaskGroup() as tasks:
        orchestrators = Orchestrators(list(orchestrator.urls.values()), http, None, clock, _halves)
        contact = Contact(orchestrators, clock, worker_id)
        parts = loop.Parts(
            desk,
            contact,
            lanes,
            Asking(desk, contact, clock, _halves),
            Heartbeat(desk, contact, clock, _halves),
            Reporting(desk, contact, clock, _halves),
        )
        running = tasks.create_task(loop.run(parts, stop, clock, rules))
        yield OneWorker(desk, contact, registry, groups, slots, stop, running)
        running.cancel()


def _halves() -> float:
    return 0.5
