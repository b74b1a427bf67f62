"""What each refusal of a provider means for the launches after it, in virtual time."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from dynwork.errors import (
    FleetCapacityError,
    FleetDeniedError,
    FleetError,
    FleetQuotaError,
    FleetTemplateError,
    FleetThrottledError,
    FleetTokenError,
    FleetUnclearError,
)
from dynwork.orchestrator.core.instance import InstanceState, intent
from dynwork.orchestrator.fleet.launching import AGAIN_MAX, AT_ONCE_MAX, CALLS_MAX, QUOTA_HOLD_S, STOPPED_S
from dynwork.testing.fleet_world import World


@pytest.fixture
def world() -> World:
    return World()


def asked(world: World) -> int:
    return sum(call == "launch" for call, _ in world.provider.calls)


async def test_a_place_that_has_none_is_answered_by_asking_in_the_next_at_once(world: World) -> None:
    world.provider.places = ["spot", "other", "dear"]
    world.provider.faults.extend([FleetCapacityError("none"), FleetCapacityError("none"), None])
    await world.lead()
    await world.tick()
    assert asked(world) == 3
    (row,) = await world.store.instances()
    assert (row.state, row.placement) == (InstanceState.BOOTING, "dear")


async def test_where_no_place_has_any_it_waits_until_one_may_and_says_so(world: World) -> None:
    world.provider.places = ["spot", "other"]
    world.provider.faults.extend([FleetCapacityError("none")] * 2)
    await world.lead()
    await world.tick()
    assert asked(world) == 2
    assert world.scaler.decision is not None
    assert world.scaler.decision.startswith("hold: capacity: none left anywhere, next in 60.0 s; +1: ")
    for _ in range(59):
        await world.tick()
    assert asked(world) == 2
    world.provider.places = ["spot"]
    for _ in range(2):
        await world.tick()
    assert len(world.provider.running) == 1


async def test_a_leader_that_finds_no_place_from_the_start_waits_and_says_so(world: World) -> None:
    world.provider.places = []
    await world.lead()
    await world.tick()
    assert asked(world) == 0
    assert world.scaler.decision is not None
    assert world.scaler.decision.startswith("hold: capacity: none left anywhere, next in 60.0 s; +1: ")


async def test_a_quota_that_is_met_holds_launches_for_a_while(world: World) -> None:
    world.provider.faults.append(FleetQuotaError("VcpuLimitExceeded"))
    await world.lead()
    await world.tick()
    assert world.scaler.decision is not None
    assert world.scaler.decision.startswith(f"hold: quota: VcpuLimitExceeded, next in {QUOTA_HOLD_S:.1f} s")
    for _ in range(int(QUOTA_HOLD_S) - 1):
        await world.tick()
    assert asked(world) == 1
    for _ in range(2):
        await world.tick()
    assert len(world.provider.running) == 1
    assert world.scaler.trouble is None


@pytest.mark.parametrize("refusal", [FleetDeniedError("not allowed"), FleetTemplateError("no such image")])
async def test_what_only_a_person_can_mend_stops_launches_and_is_told_until_one_succeeds(
    world: World, refusal: FleetError
) -> None:
    await world.grown(1)
    world.provider.faults.extend([refusal] * 3)
    await world.submit(100, 10_000)
    await world.tick()
    assert str(world.scaler.trouble) == f"{refusal.code}: {refusal.detail}"
    assert world.scaler.decision is not None
    assert world.scaler.decision.startswith(f"hold: stopped, {refusal.code}: {refusal.detail}, next in")
    for _ in range(int(STOPPED_S) - 1):
        await world.tick()
    assert len(world.provider.running) == 1
    for _ in range(3):
        await world.tick()
    assert len(world.provider.running) == 4
    assert world.scaler.trouble is None


@pytest.mark.parametrize("quota_first", [True, False])
async def test_of_several_refusals_at_once_the_one_that_holds_longest_counts(world: World, quota_first: bool) -> None:
    await world.grown(1)
    refusals = [FleetQuotaError("VcpuLimitExceeded"), FleetThrottledError("too many calls")]
    world.provider.faults.extend(refusals if quota_first else reversed(refusals))
    world.provider.faults.append(FleetThrottledError("too many calls"))
    await world.submit(100, 10_000)
    await world.tick()
    before = asked(world)
    for _ in range(int(QUOTA_HOLD_S) - 1):
        await world.tick()
        assert world.scaler.decision is not None
        assert world.scaler.decision.startswith("hold: quota: VcpuLimitExceeded, next in ")
    assert asked(world) == before
    for _ in range(2):
        await world.tick()
    assert asked(world) == before + 3


async def test_an_intent_is_not_asked_for_again_while_launches_are_held(world: World) -> None:
    await world.grown(1)
    world.provider.faults.extend(
        [FleetUnclearError("no answer"), FleetQuotaError("VcpuLimitExceeded"), FleetQuotaError("VcpuLimitExceeded")]
    )
    await world.submit(100, 10_000)
    await world.tick()
    before = asked(world)
    for _ in range(int(QUOTA_HOLD_S) - 1):
        await world.tick()
    assert asked(world) == before
    assert len(await world.rows(InstanceState.INTENDED)) == 1
    for _ in range(3):
        await world.tick()
    assert len(await world.rows(InstanceState.RUNNING)) == 4


async def test_trouble_is_the_leader_s(world: World) -> None:
    world.provider.faults.append(FleetDeniedError("not allowed"))
    await world.lead()
    await world.tick()
    assert world.scaler.trouble is not None
    world.leader.epoch = None
    assert world.scaler.trouble is None


async def test_a_look_that_is_denied_is_trouble_too(world: World) -> None:
    world.provider.blind = FleetDeniedError("DescribeInstances")
    await world.lead()
    await world.tick()
    assert str(world.scaler.trouble) == "denied: DescribeInstances"
    world.provider.blind = None
    for _ in range(3):
        await world.tick()
    assert world.scaler.trouble is None


async def test_an_unclear_launch_is_asked_for_again_in_the_same_place(world: World) -> None:
    world.provider.places = ["first", "second"]
    world.provider.faults.append(FleetUnclearError("no answer"))
    await world.lead()
    await world.tick()
    (row,) = await world.store.instances()
    assert (row.state, row.placement) == (InstanceState.INTENDED, "first")
    world.provider.places = ["second"]
    for _ in range(3):
        await world.tick()
    (row,) = await world.store.instances()
    assert (row.state, row.placement, asked(world)) == (InstanceState.RUNNING, "first", 2)


async def test_a_token_that_stands_for_another_call_is_not_asked_for_again_and_its_machine_found(world: World) -> None:
    world.provider.faults.append(FleetTokenError("other parameters"))
    await world.lead()
    await world.tick()
    (row,) = await world.store.instances()
    world.provider.appear(row.instance_id)  # the other call had made it
    for _ in range(3):
        await world.tick()
    assert asked(world) == 1
    assert await world.rows(InstanceState.RUNNING) == [row.instance_id]


async def test_a_token_that_stands_for_another_call_and_a_machine_that_never_appears_are_given_up() -> None:
    world = World(apart_s=60)
    world.provider.faults.append(FleetTokenError("other parameters"))
    await world.lead()
    await world.tick()
    (row,) = await world.store.instances()
    for _ in range(65):
        await world.tick()
    assert row.instance_id not in await world.rows()
    assert len(world.provider.running) == 1
    assert world.scaler._launcher.forsaken == set()


async def test_many_are_asked_for_a_few_at_a_time(world: World) -> None:
    world.provider.gate.clear()
    await world.lead()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(world.scaler._launcher.launch(world.leader.epoch or 0, 12, 12))
        await world.clock.settle()
        assert asked(world) == AT_ONCE_MAX
        world.provider.gate.set()
        await task
    assert len(world.provider.running) == 12


async def test_a_reply_that_cannot_be_stored_is_got_again(world: World) -> None:
    await world.lead()
    await world.store.intend(1, intent("i-1", world.clock.now(), "here"), 4)
    await world.provider.launch("i-1", "here")
    for _ in range(2):
        await world.tick()
    assert world.provider.launches == 1
    assert await world.rows(InstanceState.RUNNING) == ["i-1"]


async def test_however_many_places_refuse_one_look_makes_a_bounded_number_of_calls(world: World) -> None:
    world.provider.places = [f"place-{number}" for number in range(3 * CALLS_MAX)]
    world.provider.faults.extend([FleetCapacityError("none")] * 2 * CALLS_MAX)
    await world.lead()
    for looks in (1, 2):
        await world.scaler._launcher.launch(world.leader.epoch or 0, 12, 12)
        assert asked(world) == looks * CALLS_MAX
    await world.scaler._launcher.launch(world.leader.epoch or 0, 12, 12)
    assert len(world.provider.running) == 12


async def test_an_intent_that_never_gets_a_clear_answer_is_given_up_and_another_launched() -> None:
    world = World(apart_s=60)
    world.provider.faults.extend([FleetUnclearError("no answer")] * (1 + AGAIN_MAX))
    await world.lead()
    await world.tick()
    (row,) = await world.store.instances()
    asked_at = [world.clock.now()]
    for _ in range(300):
        before = world.provider.calls.count(("launch", row.instance_id))
        await world.tick()
        if world.provider.calls.count(("launch", row.instance_id)) > before:
            asked_at.append(world.clock.now())
    assert [later - earlier for earlier, later in itertools.pairwise(asked_at)] == [1.0, 2.0, 4.0, 8.0, 16.0]
    assert len(asked_at) == 1 + AGAIN_MAX
    assert len(await world.rows(InstanceState.RUNNING)) == 1
    assert row.instance_id not in await world.rows()


async def test_launch_calls_are_counted_by_what_became_of_each(world: World) -> None:
    world.provider.places = ["spot", "other"]
    world.provider.faults.extend([FleetCapacityError("none"), FleetUnclearError("no answer")])
    await world.lead()
    for _ in range(3):
        await world.tick()
    counted = {
        outcome: world.registry.get_sample_value("dynwork_fleet_launches_total", {"outcome": outcome})
        for outcome in ("launched", "capacity", "unclear", "quota")
    }
    assert counted == {"launched": 1.0, "capacity": 1.0, "unclear": 1.0, "quota": None}
