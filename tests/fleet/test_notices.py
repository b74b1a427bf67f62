"""Machines that the provider is about to take back, and looks at a provider whose answers are dear; in virtual time."""

from __future__ import annotations

import itertools

import pytest

from dynwork.errors import FleetQuotaError, FleetThrottledError
from dynwork.orchestrator.core.instance import InstanceState
from dynwork.testing.fleet_world import World


@pytest.fixture
def world() -> World:
    return World()


async def test_a_machine_under_notice_is_replaced_at_once_and_ended_when_it_holds_nothing(world: World) -> None:
    machines = await world.grown(4)
    await world.all_done()
    await world.submit(4, 10**6)
    for machine in machines:
        assert await world.ask(machine)
    world.notices[machines[0]] = "spot"
    await world.ask(machines[0], claim=False)
    await world.tick()
    assert await world.rows(InstanceState.NOTICED) == [machines[0]]
    assert len(world.provider.running) == 5, "the fleet is full without the one under notice"
    assert ("terminate", machines[0]) not in world.provider.calls
    await world.release(machines[0])
    await world.tick()
    assert machines[0] not in world.provider.running
    for _ in range(3):
        await world.tick()
    assert len(await world.rows(InstanceState.RUNNING)) == 4
    assert (await world.store.totals()).queued == 1


async def test_an_idle_machine_under_notice_is_ended_in_the_same_look(world: World) -> None:
    (machine,) = await world.grown(1)
    world.notices[machine] = "rebalance"
    await world.tick()
    assert machine not in world.provider.running
    assert len(world.provider.running) == 1


async def test_a_notice_before_the_first_report_is_heeded(world: World) -> None:
    await world.lead()
    await world.tick(reporting=False)
    (machine,) = world.provider.running
    world.notices[machine] = "spot"
    await world.tick()
    assert machine not in world.provider.running
    assert len(world.provider.running) == 1


async def test_a_machine_taken_back_before_it_handed_its_work_back_costs_no_attempt(world: World) -> None:
    (machine,) = await world.grown(1)
    await world.submit(1, 10**6)
    (job,) = await world.ask(machine)
    world.notices[machine] = "spot"
    await world.tick()
    world.provider.vanish(machine)
    for _ in range(10):
        await world.tick()
    found = await world.store.job("local", job.job_id)
    assert found is not None
    assert (found.attempts, found.losses) == (0, 1)


async def test_more_than_the_maximum_never_counts_however_many_are_under_notice(world: World) -> None:
    await world.grown(4)
    for _ in range(5):
        for machine in await world.rows(InstanceState.RUNNING):
            world.notices[machine] = "spot"
        for _ in range(3):
            await world.tick()
            counted = await world.rows(
                InstanceState.INTENDED, InstanceState.BOOTING, InstanceState.RUNNING, InstanceState.DRAINING
            )
            assert len(counted) <= 4


async def test_a_working_stranger_for_whom_there_is_no_place_finishes_what_it_holds(world: World) -> None:
    await world.grown(4)
    await world.all_done()
    world.provider.appear("i-strange")
    await world.submit(1, 10**6)
    await world.ask("i-strange")
    for _ in range(5):
        await world.tick()
    assert "i-strange" in world.provider.running
    assert await world.rows(InstanceState.NOTICED) == ["i-strange"]
    await world.complete("i-strange")
    await world.tick()
    assert "i-strange" not in world.provider.running


async def test_a_machine_given_up_and_found_at_work_finishes_what_it_holds(world: World) -> None:
    (machine,) = await world.grown(1)
    await world.clock.advance(10)
    await world.store.expire(1, world.clock.now(), 100)
    world.provider.unseen.add(machine)
    for _ in range(3):
        await world.tick(reporting=False)
    assert machine not in await world.rows()
    world.provider.unseen.clear()
    await world.submit(1, 10**6)
    await world.clock.advance(1)
    await world.ask(machine, claim=False)
    assert (await world.store.workers())[0].leases == 0, "what has ended is given nothing"
    for _ in range(3):
        await world.tick()
    assert machine not in world.provider.running


# -- looks ------------------------------------------------------------------------------------------------------------
async def test_a_provider_whose_answers_are_dear_is_asked_once_a_minute_while_nothing_is_expected() -> None:
    world = World(look_s=60, settle_s=5)
    await world.grown(1)
    for _ in range(60):
        await world.tick()
    looks = world.provider.looks
    for _ in range(600):
        await world.tick()
    assert world.provider.looks - looks == 10


async def vanished_and_seen(world: World, machine: str) -> None:
    world.provider.vanish(machine)
    vanished_at = world.clock.now()
    while machine in await world.rows():
        await world.tick(reporting=False)
    assert world.clock.now() - vanished_at <= 16, "two heartbeats of silence, then two looks"


async def test_it_is_asked_soon_when_a_worker_falls_silent_and_what_ended_is_replaced() -> None:
    world = World(look_s=60, settle_s=5)
    (machine,) = await world.grown(1)
    for _ in range(60):
        await world.tick()
    await vanished_and_seen(world, machine)
    assert world.gone == [f"w-{machine}"]


async def test_it_is_asked_soon_after_a_failure_and_then_as_seldom_as_before() -> None:
    world = World(look_s=60, settle_s=5)
    await world.grown(1)
    for _ in range(65):
        await world.tick()
    looks = world.provider.looks
    while world.provider.looks == looks:
        await world.tick()
    world.provider.faults.extend([FleetQuotaError("VcpuLimitExceeded")] * 3)
    await world.submit(100, 10_000)
    for _ in range(7):
        await world.tick()
    assert world.provider.looks == looks + 2, "one as always, and one after the failure"
    for _ in range(50):
        await world.tick()
    assert world.provider.looks == looks + 2


async def test_what_goes_is_told_again_only_as_often_as_it_is_looked_at() -> None:
    world = World(look_s=60, settle_s=5)
    (machine,) = await world.grown(1)
    world.provider.stubborn.add(machine)
    await world.store.drain_if_idle(1, machine, "idle", world.clock.now())
    for _ in range(12):
        await world.tick()
    assert 1 <= sum(call == ("terminate", machine) for call in world.provider.calls) <= 3


async def test_an_end_under_notice_that_is_refused_is_tried_again_only_as_often_as_it_is_looked_at() -> None:
    world = World(look_s=60, settle_s=5)
    (machine,) = await world.grown(1)
    world.provider.kept[machine] = FleetThrottledError("too many calls")
    world.notices[machine] = "spot"
    for _ in range(60):
        await world.tick()
    assert 10 <= sum(call == ("terminate", machine) for call in world.provider.calls) <= 13


async def test_looks_that_fail_are_repeated_ever_more_slowly_and_nothing_is_done_meanwhile() -> None:
    world = World(look_s=60, settle_s=5)
    await world.grown(1)
    failed_at: list[float] = []

    async def blind() -> None:
        failed_at.append(world.clock.now())
        raise FleetThrottledError("too many calls")

    world.provider.machines = blind  # type: ignore[assignment, method-assign]
    await world.submit(100, 10_000)
    for _ in range(300):
        await world.tick()
    pauses = [later - earlier for earlier, later in itertools.pairwise(failed_at)]
    assert pauses == [5, 5, 5, 8, 16, *[30] * (len(pauses) - 5)], "never more often than it is asked to settle"
    assert world.scaler.decision == "hold: the fleet cannot be seen (throttled: too many calls)"


async def test_after_looks_that_failed_for_long_what_ends_is_seen_as_soon_as_ever() -> None:
    world = World(look_s=60, settle_s=5)
    (machine,) = await world.grown(1)
    world.provider.blind = FleetThrottledError("too many calls")
    for _ in range(300):
        await world.tick()
    world.provider.blind = None
    looks = world.provider.looks
    while world.provider.looks == looks:
        await world.tick()
    await vanished_and_seen(world, machine)
