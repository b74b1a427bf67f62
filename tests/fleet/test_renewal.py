"""A new release of the workers: machines are replaced one by one, the successor first, and nothing is lost by it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dynwork.errors import FleetCapacityError
from dynwork.orchestrator.core.instance import InstanceState
from dynwork.testing.fleet_world import POLICY, World


@pytest.fixture
def world() -> World:
    return World()


async def a_new_release(world: World) -> None:
    """All that there is boots something else than what would be launched now."""
    world.provider.outdated = set(world.provider.running)


async def work_and_tick(world: World) -> None:
    """Every worker that is there asks, one under notice hands back what it holds, and a tick passes."""
    rows = {row.instance_id: row.state for row in await world.store.instances()}
    for machine in list(world.provider.running):
        if rows.get(machine) is InstanceState.NOTICED:
            await world.release(machine)
        await world.ask(machine)
    await world.tick(reporting=False)


async def ready(world: World) -> list[str]:
    return await world.rows(InstanceState.RUNNING)


async def test_the_only_machine_works_until_its_successor_does(world: World) -> None:
    (old,) = await world.grown(1)
    await world.submit(1, 10**6)
    assert await world.ask(old)
    await a_new_release(world)
    await world.tick(reporting=False)
    (new,) = set(world.provider.running) - {old}
    await world.ask(old, claim=False)
    await world.tick(reporting=False)
    assert await ready(world) == [old], "its successor boots"
    await world.ask(new, claim=False)
    await world.tick(reporting=False)
    await world.tick(reporting=False)
    assert await world.rows(InstanceState.NOTICED) == [old]
    assert ("terminate", old) not in world.provider.calls, "it holds a lease"
    await world.release(old)
    await world.tick()
    assert list(world.provider.running) == [new]
    assert await world.ask(new), "and goes on with the work"
    for _ in range(20):
        await world.tick()
    assert world.provider.launches == 2


async def test_a_full_fleet_under_load_is_renewed_one_by_one_with_one_machine_more_than_the_maximum(
    world: World,
) -> None:
    before = await world.grown(POLICY.fleet_max)
    await world.submit(1000, 10_000)
    await a_new_release(world)
    fewest = POLICY.fleet_max
    for _ in range(60):
        await work_and_tick(world)
        fewest = min(fewest, len(await ready(world)))
        assert len(await world.rows(InstanceState.NOTICED)) <= 1
    assert not set(before) & set(world.provider.running)
    assert len(await ready(world)) == fewest == POLICY.fleet_max
    assert world.provider.launches == 2 * POLICY.fleet_max
    assert world.provider.most == POLICY.fleet_max + 1


async def test_where_none_is_kept_a_busy_one_is_replaced_all_the_same_before_it_goes() -> None:
    world = World(policy=replace(POLICY, fleet_min=0))
    await world.lead()
    await world.submit(1, 10**6)
    for _ in range(3):
        await world.tick()
    (old,) = world.provider.running
    assert await world.ask(old)
    await a_new_release(world)
    await world.ask(old, claim=False)
    await world.tick(reporting=False)
    assert (await ready(world), world.provider.launches) == ([old], 2), "its successor boots"
    for _ in range(3):
        await work_and_tick(world)
    (new,) = world.provider.running
    assert world.holding[new], "which goes on with the work"


async def test_what_is_not_needed_any_more_is_not_replaced(world: World) -> None:
    await world.grown(4)
    await world.all_done()
    await a_new_release(world)
    for _ in range(40):
        await world.tick()
    assert len(await ready(world)) == 1
    assert world.provider.launches == 5, "one successor, of the last"
    assert not world.provider.outdated & set(world.provider.running)


async def test_a_release_whose_workers_never_report_replaces_nothing(world: World) -> None:
    (old,) = await world.grown(1)
    await a_new_release(world)
    for _ in range(200):
        await world.ask(old)
        await world.tick(reporting=False)
        assert old in await ready(world)
    assert world.provider.most == 2


async def test_without_a_place_for_a_successor_the_old_one_works_on(world: World) -> None:
    (old,) = await world.grown(1)
    await a_new_release(world)
    world.provider.faults.append(FleetCapacityError("none"))
    for _ in range(50):
        await world.tick()
        assert old in await ready(world)
    world.provider.places = ["there"]
    for _ in range(100):
        await world.tick()
    assert old not in world.provider.running


async def test_another_leader_goes_on_with_it(world: World) -> None:
    (old,) = await world.grown(1)
    await a_new_release(world)
    await world.tick(reporting=False)
    world.restart()
    await world.clock.advance(30)
    await world.lead("another")
    for _ in range(10):
        await world.tick()
    assert old not in world.provider.running
    assert world.provider.launches == 2


async def test_a_machine_that_dies_meanwhile_is_one_less_to_replace(world: World) -> None:
    before = await world.grown(4)
    await world.submit(1000, 10_000)
    await a_new_release(world)
    world.provider.vanish(before[0])
    for _ in range(30):
        await work_and_tick(world)
    assert not set(before) & set(world.provider.running)
    assert world.provider.most <= POLICY.fleet_max + 1
