"""The autoscaler in virtual time: it grows, it shrinks, and no crash or lost reply makes a machine too many."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from dynwork.errors import FleetThrottledError
from dynwork.orchestrator.core.instance import Instance, InstanceState, Launched, intent
from dynwork.orchestrator.core.job import Instant
from dynwork.orchestrator.store.memory import MemoryStore
from dynwork.testing.fleet_world import World


@pytest.fixture
def world() -> World:
    return World()


async def test_the_fleet_grows_to_its_maximum_under_backlog_and_back_to_its_minimum_when_idle(world: World) -> None:
    await world.grown(4)
    await world.all_done()
    for _ in range(10):
        await world.tick()
    assert len(world.provider.running) == 1
    assert len(await world.rows()) == 1
    assert (world.provider.launches, world.provider.most) == (4, 4)


async def test_nothing_is_done_without_the_leadership(world: World) -> None:
    await world.submit(100, 10_000)
    await world.tick()
    assert world.provider.calls == []
    assert world.scaler.decision == "wait: another orchestrator leads"


async def test_a_leadership_that_passed_in_the_middle_of_a_tick_launches_nothing(world: World) -> None:
    await world.lead()
    await world.clock.advance(11)
    assert await world.store.lead("them", world.clock.now(), 10.0) == 2
    await world.scaler.tick()
    assert world.provider.calls == []
    assert world.scaler.decision == "wait: the leadership has passed to another"


# -- launches, and replies that are lost ------------------------------------------------------------------------------
async def test_lost_replies_never_make_more_machines_than_the_maximum(world: World) -> None:
    await world.lead()
    await world.submit(100, 10_000)
    world.provider.lose_replies = 7
    for _ in range(200):
        await world.tick()
    assert world.provider.most == 4
    assert world.provider.launches == 4
    assert len(await world.rows(InstanceState.RUNNING)) == 4


async def test_an_orchestrator_that_dies_between_intent_and_launch_leaves_one_machine(world: World) -> None:
    await world.lead()
    await world.store.intend(1, intent("i-1", world.clock.now()), 4)  # here it died
    world.restart()
    for _ in range(5):
        await world.tick()
    assert list(world.provider.running) == ["i-1"]
    assert await world.rows(InstanceState.RUNNING) == ["i-1"]


async def test_an_orchestrator_that_dies_between_launch_and_reply_leaves_one_machine(world: World) -> None:
    await world.lead()
    world.provider.gate.clear()
    await world.store.intend(1, intent("i-1", world.clock.now()), 4)
    world.provider.gate.set()
    await world.provider.launch("i-1", "here")  # here it died
    world.restart()
    for _ in range(5):
        await world.tick()
    assert world.provider.launches == 1
    assert await world.rows(InstanceState.RUNNING) == ["i-1"]


async def test_an_orchestrator_cancelled_in_the_middle_of_a_launch_leaves_one_machine(world: World) -> None:
    await world.lead()
    world.provider.gate.clear()
    async with asyncio.TaskGroup() as tasks:
        dying = tasks.create_task(world.scaler.tick())
        await world.clock.settle()
        assert len(world.provider.calls) == 1
        dying.cancel()
    world.provider.gate.set()
    world.restart()
    for _ in range(5):
        await world.tick()
    assert world.provider.launches == 1
    assert len(await world.rows(InstanceState.RUNNING)) == 1


async def test_a_refused_launch_is_over_and_tried_again_ever_more_slowly(world: World) -> None:
    await world.lead()
    world.provider.faults.extend([FleetThrottledError("too many calls")] * 5)
    tried_at = []
    for _ in range(60):
        before = len(world.provider.calls)
        await world.tick()
        if len(world.provider.calls) > before:
            tried_at.append(world.clock.now())
    pauses = [later - earlier for earlier, later in itertools.pairwise(tried_at)]
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0]
    assert await world.rows() == list(world.provider.running)
    assert len(world.provider.running) == 1


async def test_a_refusal_is_told_in_the_decision(world: World) -> None:
    await world.lead()
    world.provider.faults.append(FleetThrottledError("too many calls"))
    await world.tick()
    assert world.scaler.decision == (
        "hold: 1 launch failed in a row (throttled: too many calls), next in 1.0 s;"
        " +1: no work ahead for 0 workers, target 5.0 s; want 1 of 1 to 4"
    )
    assert await world.rows() == []


async def test_once_a_machine_was_of_use_failures_count_anew(world: World) -> None:
    await world.lead()
    world.provider.faults.extend([FleetThrottledError("too many calls")] * 3)
    for _ in range(10):
        await world.tick()
    assert len(await world.rows(InstanceState.RUNNING)) == 1
    world.provider.faults.append(FleetThrottledError("too many calls"))
    await world.submit(100, 10_000)
    await world.tick()
    assert world.scaler.decision is not None
    assert world.scaler.decision.startswith("hold: 1 launch failed in a row (throttled: too many calls), next in 1.0")


async def test_machines_that_end_before_they_report_are_replaced_ever_more_slowly(world: World) -> None:
    await world.lead()
    for _ in range(60):
        await world.tick(reporting=False)
        for instance_id in list(world.provider.running):
            world.provider.vanish(instance_id)
    assert 3 <= world.provider.launches <= 6


# -- ends -------------------------------------------------------------------------------------------------------------
async def test_a_busy_worker_is_never_ended(world: World) -> None:
    machines = await world.grown(4)
    await world.all_done()
    await world.submit(1, 10**6)
    assert await world.ask(machines[0])
    for _ in range(20):
        await world.tick()
    assert list(world.provider.running) == [machines[0]]
    assert not [call for call in world.provider.calls if call == ("terminate", machines[0])]


async def test_a_worker_that_claims_between_plan_and_drain_is_not_ended() -> None:
    class Racing(MemoryStore):
        races = 0

        async def drain_if_idle(self, epoch: int, instance_id: str, reason: str, now: Instant) -> bool:
            self.races += 1
            await racing.submit(1, 10**6)
            assert await racing.ask(instance_id)
            return await super().drain_if_idle(epoch, instance_id, reason, now)

    store = Racing()
    racing = world = World(store)
    await world.grown(4)
    await world.all_done()
    for _ in range(8):
        await world.tick()
    assert store.races == 4
    assert len(world.provider.running) == 4
    assert not [call for call in world.provider.calls if call[0] == "terminate"]


async def test_an_orchestrator_that_dies_between_drain_and_end_ends_it_after_its_restart(world: World) -> None:
    (machine,) = await world.grown(1)
    assert await world.store.drain_if_idle(1, machine, "idle", world.clock.now())  # here it died
    world.restart()
    await world.tick()
    assert machine not in world.provider.running
    for _ in range(7):
        await world.tick()
    assert machine not in await world.rows()


async def test_a_machine_that_does_not_end_is_told_again(world: World) -> None:
    (machine,) = await world.grown(1)
    world.provider.stubborn.add(machine)
    await world.store.drain_if_idle(1, machine, "idle", world.clock.now())
    await world.tick()
    assert machine in world.provider.running
    await world.tick()
    assert machine not in world.provider.running


async def test_an_end_that_fails_keeps_nothing_else_from_being_done_and_is_tried_again_at_the_next_look() -> None:
    world = World(look_s=60, settle_s=5)
    first, second, *_ = await world.grown(4)
    world.provider.kept[first] = FleetThrottledError("too many calls")
    for machine in (first, second):
        await world.store.drain_if_idle(1, machine, "idle", world.clock.now())
    before = len(world.provider.calls)
    for _ in range(60):
        await world.tick()
    assert second not in world.provider.running
    told = sum(call == ("terminate", first) for call in world.provider.calls[before:])
    assert 10 <= told <= 13, "at each look, and not at each tick"
    assert len(await world.rows(InstanceState.RUNNING)) == 3
    assert world.scaler.trouble is None
    world.provider.kept.clear()
    for _ in range(15):
        await world.tick()
    assert first not in world.provider.running
    assert len(await world.rows(InstanceState.RUNNING)) == 4


async def test_machines_whose_workers_never_report_are_replaced_ever_more_slowly(world: World) -> None:
    await world.lead()
    pauses, ended_at = [], 0.0
    for _ in range(400):
        before = list(world.provider.running)
        await world.tick(reporting=False)
        if before and not world.provider.running:
            ended_at = world.clock.now()
        elif not before and world.provider.running and ended_at:
            pauses.append(world.clock.now() - ended_at)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0]


async def test_a_machine_whose_worker_never_reports_is_ended_and_replaced(world: World) -> None:
    await world.lead()
    await world.tick(reporting=False)
    (first,) = world.provider.running
    for _ in range(59):
        await world.tick(reporting=False)
    assert list(world.provider.running) == [first]
    for _ in range(5):
        await world.tick(reporting=False)
    assert first not in world.provider.running
    assert first not in await world.rows()
    assert world.provider.launches == 2


async def test_what_was_launched_is_stored_with_the_providers_name(world: World) -> None:
    await world.lead()
    await world.tick(reporting=False)
    (row,) = await world.store.instances()
    assert row == Instance(
        row.instance_id,
        InstanceState.BOOTING,
        intended_at=world.clock.now(),
        provider_id=world.provider.running[row.instance_id],
        launched_at=world.clock.now(),
        placement="here",
    )
    assert await world.store.instance_event(1, row.instance_id, Launched("another"), world.clock.now()) == row
