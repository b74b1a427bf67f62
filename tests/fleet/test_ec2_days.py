"""The whole fleet side over a simulated EC2 in virtual time: bad days that came to mind after the plain ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from dynwork.orchestrator.core.instance import InstanceState
from dynwork.orchestrator.core.worker import Pace, WorkerFacts
from dynwork.orchestrator.fleet.autoscaler import Autoscaler, FleetRules, Outside
from dynwork.orchestrator.fleet.ec2.places import ON_DEMAND, pools
from dynwork.orchestrator.fleet.ec2.provider import Ec2Provider, Ec2Setup
from dynwork.orchestrator.store.commands import Ask, Round
from dynwork.orchestrator.store.memory import MemoryStore
from dynwork.testing.clock import FakeClock
from dynwork.testing.ec2 import Box, Mishap, SimulatedEc2
from dynwork.testing.fleet_world import CAPACITY, KIND, POLICY, Leader

TICK_S = 2.0
HOUR_S = 3600.0


class Day:
    """One cluster on EC2, whose machines report as soon as they are there."""

    def __init__(self, subnets: tuple[str, ...] = ("s1",), look_s: float = 60.0) -> None:
        self.clock = FakeClock()
        self.store = MemoryStore()
        self.cloud = SimulatedEc2(self.clock)
        self.leader = Leader()
        self.silent: set[str] = set()
        """Machines whose workers do not report, by the provider's name."""
        self.provider = Ec2Provider(
            self.cloud, Ec2Setup("worker", pools((ON_DEMAND,), ("a",), subnets), str, self._cluster_id), self.clock
        )
        policy = replace(POLICY, fleet_max=1)
        rules = FleetRules(policy, TICK_S, look_s=look_s, settle_s=5, apart_s=60, sight_s_max=15)
        self.scaler = Autoscaler(Outside(self.store, self.provider, self.clock), self.leader, rules)

    async def _cluster_id(self) -> str:
        return "day"

    async def tick(self) -> None:
        await self.clock.advance(TICK_S)
        self.leader.epoch = await self.store.lead("us", self.clock.now(), 10.0)
        asks = [self._ask(box) for box in self.cloud.living if box.provider_id not in self.silent]
        await self.store.commit(Round(asks=asks), self.clock.now())
        await self.scaler.tick()
        while not self.provider._exits.empty():  # as the task beside the ticks does
            await self.scaler._losses.ended(await self.provider.next_exit())

    async def live(self, seconds: float) -> None:
        until = self.clock.now() + seconds
        while self.clock.now() < until:
            await self.tick()

    def _ask(self, box: Box) -> Ask:
        pace = {KIND: Pace(CAPACITY, CAPACITY)}
        return Ask(WorkerFacts(f"w-{box.instance_id}", box.provider_id, pace, (KIND,), box.instance_id))

    async def rows(self) -> dict[str | None, InstanceState]:
        """The states, by the provider's names."""
        return {row.provider_id: row.state for row in await self.store.instances()}


@pytest.mark.parametrize(
    "refusal", ["RequestLimitExceeded", "VcpuLimitExceeded", "UnauthorizedOperation", "InsufficientInstanceCapacity"]
)
async def test_a_refusal_of_a_repeated_launch_does_not_say_that_the_first_made_nothing(refusal: str) -> None:
    day, calls = Day(), 0

    def first_lost_then_refused(action: str, _: Mapping[str, Any]) -> Mishap | None:
        nonlocal calls
        if action != "RunInstances":
            return None
        calls += 1
        return {1: Mishap(lost=True), 2: Mishap(code=refusal)}.get(calls)

    day.cloud.mishap = first_lost_then_refused
    day.cloud.lag_s = lambda: 45.0
    await day.live(600)
    assert len(day.cloud.boxes) == 1, "one machine was ever made"
    assert list((await day.rows()).values()) == [InstanceState.RUNNING]


async def test_a_machine_found_alive_after_its_intent_was_given_up_is_known_by_name_and_ended() -> None:
    day = Day()

    def lost_then_another_token(action: str, _: Mapping[str, Any]) -> Mishap | None:
        if action == "RunInstances" and not day.cloud.boxes:
            return Mishap(lost=True)
        return Mishap(code="IdempotentParameterMismatch") if action == "RunInstances" and hidden else None

    hidden = True
    day.cloud.mishap = lost_then_another_token
    day.cloud.lag_s = lambda: 400.0  # far beyond what lists are allowed to lag
    await day.live(300)
    hidden = False
    await day.live(HOUR_S)
    assert len(day.cloud.living) == 1
    assert await day.rows() == {day.cloud.living[0].provider_id: InstanceState.RUNNING}


@pytest.mark.parametrize("shutting_down_s", [0.0, 90.0])
async def test_machines_that_end_before_they_report_are_replaced_ever_more_slowly(shutting_down_s: float) -> None:
    day = Day(look_s=5.0)
    day.cloud.end_s = shutting_down_s
    until = day.clock.now() + HOUR_S
    while day.clock.now() < until:
        for box in day.cloud.living:
            day.silent.add(box.provider_id)
            if day.clock.now() - box.launched_at >= 20:
                day.cloud.end(box.provider_id, "the boot failed")
        await day.tick()
    assert len(day.cloud.boxes) <= 50, "a minute between two of them, in the end"


async def test_a_zone_that_never_gives_an_answer_does_not_keep_the_others_from_giving_machines() -> None:
    day = Day(subnets=("s1", "s2"))
    day.cloud.mishap = lambda action, call: (
        Mishap(code="InternalError", status=500) if action == "RunInstances" and call["SubnetId"] == "s1" else None
    )
    await day.live(900)
    assert list((await day.rows()).values()) == [InstanceState.RUNNING]


async def test_the_end_of_a_double_is_not_the_end_of_the_machine_that_is_meant() -> None:
    day = Day()
    await day.live(60)
    (ours,) = day.cloud.living
    double = day.cloud.make(ours.parameters)
    await day.live(300)
    assert [box.provider_id for box in day.cloud.living] == [ours.provider_id]
    assert not day.cloud.boxes[double].lives
    assert await day.rows() == {ours.provider_id: InstanceState.RUNNING}
    assert len(day.cloud.boxes) == 2


async def test_an_end_that_is_not_permitted_is_trouble_until_one_is() -> None:
    day = Day()
    await day.live(60)
    (ours,) = day.cloud.living
    day.cloud.mishap = lambda action, _: (
        Mishap(code="UnauthorizedOperation", status=403) if action == "TerminateInstances" else None
    )
    await day.store.drain_if_idle(day.leader.epoch or 0, next(iter(await day.store.instances())).instance_id, "x", 0.0)
    await day.live(60)
    assert str(day.scaler.trouble) == "denied: UnauthorizedOperation"
    assert ours.lives
    day.cloud.mishap = lambda *_: None
    await day.live(300)
    assert day.scaler.trouble is None
    assert not ours.lives


async def test_a_machine_that_ends_while_its_reply_was_lost_stops_no_launch() -> None:
    day = Day()
    day.cloud.end_s = 120.0

    def first_lost(action: str, _: Mapping[str, Any]) -> Mishap | None:
        return Mishap(lost=True) if action == "RunInstances" and not day.cloud.boxes else None

    day.cloud.mishap = first_lost
    await day.tick()
    (first,) = day.cloud.living
    day.cloud.end(first.provider_id, "Client.UserInitiatedShutdown")
    await day.live(300)
    assert day.scaler.trouble is None
    assert list((await day.rows()).values()) == [InstanceState.RUNNING]
