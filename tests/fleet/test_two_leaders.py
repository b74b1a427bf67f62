"""Two autoscalers over one store and one provider: one leads, and one believes that it still does."""

from __future__ import annotations

import asyncio

import pytest

from dynwork.errors import StaleLeaderError
from dynwork.orchestrator.core.instance import InstanceState
from dynwork.orchestrator.fleet.autoscaler import Autoscaler, FleetRules, Outside
from dynwork.testing.fleet_world import POLICY, Leader, World


@pytest.fixture
def world() -> World:
    return World()


async def next_leader(world: World) -> Autoscaler:
    """Return the scaler of another orchestrator, which takes the leadership over; the first has not noticed."""
    await world.clock.advance(11)
    epoch = await world.store.lead("another", world.clock.now(), 10.0)
    assert epoch is not None
    return Autoscaler(Outside(world.store, world.provider, world.clock), Leader(epoch), FleetRules(POLICY))


async def test_one_that_was_replaced_without_noticing_neither_launches_nor_ends_anything(world: World) -> None:
    await world.grown(1)
    later = await next_leader(world)
    await world.submit(100, 10_000)
    calls = list(world.provider.calls)
    await world.tick()
    assert world.provider.calls == calls
    assert world.scaler.decision == "wait: the leadership has passed to another"
    await later.tick()
    assert len(world.provider.running) > 1


async def test_the_next_leader_goes_on_with_the_machines_of_the_one_before(world: World) -> None:
    machines = await world.grown(4)
    later = await next_leader(world)
    for _ in range(3):
        await world.clock.advance(1)
        for machine in machines:
            await world.ask(machine, claim=False)
        await later.tick()
    assert world.provider.launches == 4
    assert await world.rows(InstanceState.RUNNING) == machines


async def test_a_launch_under_way_when_the_leadership_passes_makes_one_machine(world: World) -> None:
    await world.lead()
    world.provider.gate.clear()
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(world.scaler.tick())
        await world.clock.settle()
        assert len(await world.rows(InstanceState.INTENDED)) == 1
        later = await next_leader(world)
        second = tasks.create_task(later.tick())
        await world.clock.settle()
        world.provider.gate.set()
        await first
        await second
    assert world.provider.launches == 1
    assert await world.rows(InstanceState.BOOTING) == list(world.provider.running)


async def test_no_more_than_the_maximum_ever_runs_while_the_leadership_goes_to_and_fro(world: World) -> None:
    await world.submit(1000, 10_000)
    others = Leader()
    other = Autoscaler(Outside(world.store, world.provider, world.clock), others, FleetRules(POLICY))
    for turn in range(10):
        await world.clock.advance(11)
        if turn % 2:
            await world.lead()
        else:
            others.epoch = await world.store.lead("another", world.clock.now(), 10.0)
        for _ in range(3):
            await world.clock.advance(1)
            for machine in list(world.provider.running):
                await world.ask(machine, claim=False)
            await asyncio.gather(world.scaler.tick(), other.tick())
    assert len(world.provider.running) == world.provider.most == POLICY.fleet_max
    assert await world.rows() == list(world.provider.running)


async def test_a_drain_that_was_planned_under_an_earlier_leadership_is_refused(world: World) -> None:
    (machine,) = await world.grown(1)
    await next_leader(world)
    with pytest.raises(StaleLeaderError):
        await world.store.drain_if_idle(world.leader.epoch or 0, machine, "idle", world.clock.now())
    assert await world.rows(InstanceState.RUNNING) == [machine]


async def test_a_stranger_is_not_ended_by_one_that_was_replaced_for_it_may_be_at_work_by_now(world: World) -> None:
    await world.grown(1)
    world.provider.appear("i-strange")
    await world.tick(reporting=False)
    later = await next_leader(world)
    await world.tick(reporting=False)
    assert "i-strange" in world.provider.running
    assert world.scaler.decision == "wait: the leadership has passed to another"
    for _ in range(2):
        await later.tick()
    assert "i-strange" not in world.provider.running
