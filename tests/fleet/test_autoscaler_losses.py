"""The autoscaler in virtual time: machines that die, vanish, appear or fall silent, and sights not to be trusted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from dynwork.errors import FleetUnclearError, StoreUnavailableError
from dynwork.orchestrator.core.instance import InstanceState
from dynwork.orchestrator.core.worker import Worker
from dynwork.orchestrator.fleet.provider import Machine
from dynwork.orchestrator.store.memory import MemoryStore
from dynwork.testing.fleet_world import World
from dynwork.testing.provider import ScriptedProvider


@pytest.fixture
def world() -> World:
    return World()


# -- losses -----------------------------------------------------------------------------------------------------------
async def test_a_dead_machine_is_answered_at_once_and_its_worker_loses_its_leases(world: World) -> None:
    await world.lead()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(world.scaler.run())
        await world.clock.advance(1)
        (first,) = world.provider.running
        await world.submit(1, 10**6)
        assert await world.ask(first)
        await world.clock.advance(1)
        world.provider.crash(first)
        await world.clock.settle()  # no tick is due
        assert len(world.provider.running) == 1
        assert first not in world.provider.running
        assert world.gone == [f"w-{first}"]
        assert (await world.store.totals()).queued == 1
        running.cancel()


async def test_with_the_shortcut_off_leases_are_left_to_expire() -> None:
    world = World(shortcut=False)
    await world.lead()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(world.scaler.run())
        await world.clock.advance(1)
        (first,) = world.provider.running
        await world.submit(1, 10**6)
        assert await world.ask(first)
        await world.clock.advance(1)
        world.provider.crash(first)
        await world.clock.settle()
        assert len(world.provider.running) == 1
        assert (await world.store.totals()).leased == 1
        running.cancel()


async def test_who_does_not_lead_gives_back_the_leases_of_a_dead_machine_and_leaves_its_row_to_the_leader(
    world: World,
) -> None:
    (machine,) = await world.grown(1)
    await world.submit(1, 10**6)
    assert await world.ask(machine)
    world.leader.epoch = None
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(world.scaler.run())
        world.provider.crash(machine)
        await world.clock.advance(5)
        assert world.gone == [f"w-{machine}"]
        assert (await world.store.totals()).queued == 1
        assert await world.rows(InstanceState.RUNNING) == [machine]
        running.cancel()


async def test_an_end_that_the_store_cannot_note_at_once_is_answered_a_little_later() -> None:
    class Forgetful(MemoryStore):
        down = False

        async def workers(self) -> Sequence[Worker]:
            if self.down:
                self.down = False
                raise StoreUnavailableError("disk full")
            return await super().workers()

    store = Forgetful()
    world = World(store)
    await world.lead()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(world.scaler.run())
        await world.clock.advance(1)
        (first,) = world.provider.running
        store.down = True
        world.provider.crash(first)
        await world.clock.advance(10)
        assert len(world.provider.running) == 1
        assert first not in await world.rows()
        running.cancel()


async def test_what_was_seen_under_an_earlier_leadership_is_no_look(world: World) -> None:
    (machine,) = await world.grown(1)
    world.provider.vanish(machine)
    await world.tick(reporting=False)
    world.leader.epoch = None
    await world.tick(600, reporting=False)
    await world.lead("another")
    await world.clock.advance(600)
    await world.lead()
    await world.tick(reporting=False)
    assert machine in await world.rows()
    await world.tick(reporting=False)
    assert machine not in await world.rows()


async def test_a_machine_that_vanished_is_lost_at_the_second_look(world: World) -> None:
    (machine,) = await world.grown(1)
    await world.clock.advance(10)
    world.provider.vanish(machine)
    await world.tick()
    assert await world.rows(InstanceState.RUNNING) == [machine]
    await world.tick()
    assert machine not in await world.rows()
    assert world.gone == [f"w-{machine}"]
    assert len(world.provider.running) == 1


async def test_a_machine_missing_from_the_list_whose_worker_is_heard_of_is_not_lost(world: World) -> None:
    (machine,) = await world.grown(1)
    world.provider.vanish(machine)
    for _ in range(5):
        await world.tick()
        await world.ask(machine, claim=False)
    assert await world.rows(InstanceState.RUNNING) == [machine]
    assert world.gone == []


# -- strangers --------------------------------------------------------------------------------------------------------
async def test_a_machine_without_a_row_is_ended_at_the_second_look(world: World) -> None:
    await world.grown(1)
    world.provider.appear("i-strange")
    await world.tick(reporting=False)
    assert "i-strange" in world.provider.running
    await world.tick(reporting=False)
    assert "i-strange" not in world.provider.running
    assert len(world.provider.running) == 1


async def test_a_machine_without_a_row_whose_worker_reports_is_adopted(world: World) -> None:
    await world.grown(1)
    world.provider.appear("i-strange")
    await world.tick()
    await world.tick()
    assert "i-strange" in await world.rows(InstanceState.RUNNING)
    assert "i-strange" in world.provider.running


async def test_a_machine_without_a_row_is_ended_when_there_is_no_room_for_it(world: World) -> None:
    await world.grown(4)
    world.provider.appear("i-strange")
    await world.tick()
    await world.tick()
    assert "i-strange" not in world.provider.running
    assert len(await world.rows(InstanceState.RUNNING)) == 4


# -- sights that are not to be trusted --------------------------------------------------------------------------------
async def test_a_provider_that_cannot_be_seen_changes_nothing(world: World) -> None:
    machines = await world.grown(4)
    await world.all_done()
    world.provider.blind = FleetUnclearError("no answer")
    calls = len(world.provider.calls)
    for _ in range(20):
        await world.tick()
    assert len(world.provider.calls) == calls
    assert list(world.provider.running) == machines
    assert world.scaler.decision == "hold: the fleet cannot be seen (unclear: no answer)"


async def test_a_store_that_cannot_be_seen_changes_nothing() -> None:
    class Down(MemoryStore):
        async def totals(self) -> None:  # type: ignore[override] # it never returns
            raise StoreUnavailableError("disk full")

    world = World(Down())
    await world.lead()
    await world.tick()
    assert world.provider.calls == []
    assert world.scaler.decision == "hold: the fleet cannot be seen (store_unavailable: disk full)"


async def test_a_stale_sight_changes_nothing(world: World) -> None:
    class Slow(ScriptedProvider):
        async def machines(self) -> Sequence[Machine]:
            await world.clock.sleep(6)
            return await super().machines()

    world.provider = Slow()
    world.restart()
    await world.lead()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(world.scaler.tick())
        await world.clock.advance(6)
    assert world.provider.calls == []
    assert world.scaler.decision == "hold: the view of the fleet is stale"


async def test_a_silent_worker_is_replaced_beside_it_and_ended_when_its_time_is_up(world: World) -> None:
    (machine,) = await world.grown(1)
    await world.clock.advance(10)
    await world.store.expire(world.leader.epoch or 0, world.clock.now(), 100)
    await world.tick(reporting=False)
    others = [instance_id for instance_id in world.provider.running if instance_id != machine]
    assert len(others) == 1
    for _ in range(70):
        await world.clock.advance(1)
        await world.ask(others[0], claim=False)
        await world.scaler.tick()
    assert list(world.provider.running) == others
