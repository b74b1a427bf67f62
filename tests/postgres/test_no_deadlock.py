"""Orchestrators side by side never wait for each other in a circle, whatever they do at the same time.

Three stores over one database carry out random rounds and a leader's acts at once, over so few jobs, keys, workers and
instances that everybody is in everybody's way. The server counts deadlocks; :meth:`Store.check` looks at what is left.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace

import asyncpg
import pytest

from dynwork.errors import StaleLeaderError, StoreUnavailableError
from dynwork.orchestrator.core import machine
from dynwork.orchestrator.core.instance import (
    Drained,
    Event,
    Gone,
    Instance,
    InstanceState,
    Launched,
    Noticed,
    Reported,
    intent,
)
from dynwork.orchestrator.core.job import Submission
from dynwork.orchestrator.core.retry import RetryPolicy
from dynwork.orchestrator.core.worker import Pace
from dynwork.orchestrator.store.commands import Ask, Cancel, Heartbeat, Report, Requeue, Round
from dynwork.orchestrator.store.port import Store
from dynwork.testing.postgres import Opened
from dynwork.testing.store_contract import RULES
from dynwork.testing.store_driver import OWNER, START, ask, heartbeat, job_id, report, submission

JOBS, WORKERS, INSTANCES, KEYS = 60, 5, 4, 16
ROUNDS = 60
MORTAL = replace(RULES, retry=RetryPolicy(attempts_max=1))
"""One failure and a job is dead: there is always one to be requeued."""
DEADLOCKS = "SELECT pg_stat_get_db_deadlocks(oid) FROM pg_database WHERE datname = current_database()"


class Chance:
    """Draws commands."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)

    def round(self) -> Round:
        some = self.draw.randrange
        return Round(
            reports=[self._report() for _ in range(some(12))],
            heartbeats=[self._heartbeat() for _ in range(some(4))],
            cancels=[Cancel(OWNER, job_id(self._job())) for _ in range(some(3))],
            requeues=[Requeue(OWNER, job_id(self._job()), job_id(self._job())) for _ in range(some(4))],
            submissions=[self._submission() for _ in range(some(12))],
            asks=[self._ask() for _ in range(some(4))],
        )

    async def act(self, store: Store, now: float) -> None:
        """Do one of a leader's acts, or what anybody may do beside the rounds."""
        epoch = await store.lead(self.draw.choice("ab"), now, self.draw.choice((0.0, 5.0))) or 1
        instance = f"i{self.draw.randrange(INSTANCES)}"
        acts: list[Callable[[], Awaitable[object]]] = [
            lambda: store.expire(epoch, now + self.draw.choice((0, 30)), 20),
            lambda: store.retire(epoch, now, 10),
            lambda: store.forget(epoch, now + self.draw.choice((-1, 1))),
            lambda: store.worker_gone(self._worker(), now),
            lambda: store.intend(epoch, intent(instance, now), INSTANCES),
            lambda: store.adopt(epoch, Instance(instance, InstanceState.RUNNING, now, "p", now), INSTANCES, now),
            lambda: store.instance_event(epoch, instance, self._event(), now),
            lambda: store.drain_if_idle(epoch, instance, "idle", now),
            lambda: store.register("http://a", self.draw.choice("ab"), now, 5.0),
            lambda: store.deregister(self.draw.choice("ab")),
        ]
        await self.draw.choice(acts)()

    def _job(self) -> str:
        return f"j{self.draw.randrange(1, JOBS)}"

    def _worker(self) -> str:
        return f"w{self.draw.randrange(WORKERS)}"

    def _leases(self, most: int) -> str:
        jobs = self.draw.sample(range(1, JOBS), self.draw.randrange(most))
        return " ".join(f"j{n}#{self.draw.randrange(1, 4)}@{self.draw.randrange(1, 100)}" for n in jobs)

    def _report(self) -> Report:
        events: list[machine.Report] = [
            machine.Completed(b"x", 100),
            machine.Failed("broken", "", 0.0),
            machine.Released(b"x", self.draw.randrange(100)),
        ]
        return report(self._worker(), f"{self._job()}#{self.draw.randrange(1, 4)}", self.draw.choice(events))

    def _heartbeat(self) -> Heartbeat:
        return heartbeat(f"{self._worker()}/{self.draw.choice((1, 1, 1, 2))}", self._leases(20))

    def _ask(self) -> Ask:
        worker = f"{self._worker()}/{self.draw.choice((1, 1, 1, 2))}"
        pace = Pace(500.0, 100.0, self.draw.randrange(1, 9))
        return ask(worker, self._leases(8), pace=pace, instance_id=f"i{self.draw.randrange(INSTANCES)}")

    def _submission(self) -> Submission:
        """As from clients that repeat: several ids may come with one key, always for the same work."""
        number = self.draw.randrange(1, JOBS)
        key = f"k{number % KEYS}" if number % 2 else None
        return submission(f"j{number}", key=key, steps=1 if number % 8 == 1 else 100, priority=number % 8)

    def _event(self) -> Event:
        return self.draw.choice((Launched("p"), Reported(), Noticed("spot"), Drained("notice"), Gone("gone")))


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(3))
async def test_random_rounds_and_acts_at_once_meet_no_deadlock(opened: Opened, url: str, seed: int) -> None:
    operator = await asyncpg.connect(url)
    before = await operator.fetchval(DEADLOCKS)

    async def rounds(store: Store, chance: Chance) -> None:
        for n in range(ROUNDS):
            await _until_it_commits(store, chance.round(), START + n / 10)

    async def acts(store: Store, chance: Chance) -> None:
        for n in range(ROUNDS):
            try:
                await chance.act(store, START + n / 10)
            except (StaleLeaderError, machine.IllegalTransitionError):
                continue

    stores = [await opened(MORTAL) for _ in range(3)]
    async with asyncio.TaskGroup() as tasks:
        for number, store in enumerate(stores):
            tasks.create_task(rounds(store, Chance(10 * seed + number)))
            tasks.create_task(acts(store, Chance(1000 + 10 * seed + number)))
    assert await stores[0].check() == []
    for store in stores:
        await store.close()
    assert await operator.fetchval(DEADLOCKS) == before
    await operator.close()


async def _until_it_commits(store: Store, round_: Round, now: float) -> None:
    """Repeat a round as its callers would: it may have met more new rows of others than one call repeats it for."""
    while True:
        try:
            await store.commit(round_, now)
        except StoreUnavailableError:
            continue
        return
