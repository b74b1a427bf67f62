"""Slots among themselves: what they hand to each other, what they learn and calibrate. In virtual time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence

import pytest
from prometheus_client import CollectorRegistry

from dynwork.kinds import Kind
from dynwork.testing.clock import FakeClock
from dynwork.testing.lanes import PLAIN, SimulatedLanes, Wide
from dynwork.worker.desk import Desk, Identity
from dynwork.worker.holding import Held
from dynwork.worker.lanes import Lanes, Slot
from dynwork.worker.metrics import Metrics
from dynwork.worker.pace import Pace, Seen
from dynwork.worker.slices import Batch, Slice

LONG = 10**9
SLICE_S = 0.05
STEPS_PER_S = 1000.0
"""Of a group: 50 steps a slice."""


class Other(Wide):
    name = "other"


KINDS: dict[str, Kind] = {kind.name: kind for kind in (PLAIN, Wide(), Other())}


class Machine:
    """Three slots over simulated lanes. Their desk holds no leases: chains are put where a test wants them."""

    def __init__(self, clock: FakeClock, groups: Sequence[SimulatedLanes]) -> None:
        self.groups = groups
        self.slots = [Slot(group, group) for group in groups]
        pace = Pace(len(groups), {name: kind.lanes for name, kind in KINDS.items()})
        identity = Identity("w", "i", 0.0, 3, "python", tuple(KINDS))
        self.desk = Desk(identity, KINDS, pace, Metrics(CollectorRegistry()), clock)
        self.lanes = Lanes(self.desk, self.slots, SLICE_S)

    def knows_wide_lanes(self) -> None:
        """Let it have measured that a group makes 1000 steps a second of wide chains, and 500 of one alone."""
        for chains, steps in ((4, 50), (1, 25)):
            self.desk.pace.learn(Seen("wide", chains, chains, 4, steps, SLICE_S, SLICE_S, all_busy=True))

    def is_used(self) -> list[bool]:
        return [bool(group.batches) for group in self.groups]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def machine(clock: FakeClock) -> AsyncIterator[Machine]:
    """A machine that is calibrated and runs."""
    machine = Machine(clock, [SimulatedLanes(clock, STEPS_PER_S) for _ in range(3)])
    machine.desk.pace.calibrate([STEPS_PER_S] * 3, [STEPS_PER_S] * 3)
    machine.knows_wide_lanes()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(machine.lanes.run())
        await clock.settle()
        yield machine
        running.cancel()


orders = itertools.count()


def chain(remaining: int = LONG, *, priority: int = 5, kind: str = "wide") -> Held:
    return Held("j", 1, kind, bytes(64), 1, 1 + remaining, priority, order=next(orders), acknowledged=1)


async def run(clock: FakeClock, machine: Machine, *chains: list[Held], slices: float) -> None:
    """Put chains into the slots and let them run."""
    for slot, placed in zip(machine.slots, chains, strict=False):
        slot.chains = list(placed)
    machine.desk.work.set()
    await clock.advance(slices * SLICE_S)


# -- handing over
async def test_a_group_without_work_gets_the_most_urgent_then_the_longest_for_itself(
    clock: FakeClock, machine: Machine
) -> None:
    urgent, long, short, shorter = chain(10**6, priority=9), chain(), chain(10**7), chain(10**6)
    await run(clock, machine, [shorter, long, urgent, short], [chain()], slices=1.5)
    assert [*machine.slots[2].chains, *machine.slots[2].coming] == [urgent]
    urgent.gone = True
    await clock.advance(2 * SLICE_S)
    assert [*machine.slots[2].chains, *machine.slots[2].coming] == [long]


async def test_to_a_group_that_is_at_work_goes_who_needs_a_group_alone_the_least(
    clock: FakeClock, machine: Machine
) -> None:
    urgent, other = chain(priority=9), chain()
    await run(clock, machine, [other, urgent], [chain(), chain()], [chain()], slices=1.5)
    assert machine.slots[0].chains == [urgent]
    assert other in [*machine.slots[1].chains, *machine.slots[1].coming]


async def test_two_groups_do_not_both_hand_a_chain_to_the_one_that_has_none(clock: FakeClock, machine: Machine) -> None:
    two, others = [chain(kind="other") for _ in range(2)], [chain(kind="other") for _ in range(2)]
    await run(clock, machine, two, others, slices=0.5)
    assert [len(slot.chains) + len(slot.coming) for slot in machine.slots] == [1, 2, 1]


async def test_a_chain_that_would_end_before_it_arrives_is_not_handed_over(clock: FakeClock, machine: Machine) -> None:
    ending, last = chain(12), chain()
    await run(clock, machine, [ending, last], slices=3)
    assert ending.remaining == 0
    assert machine.is_used() == [True, False, False]


async def test_a_group_whose_chain_ends_with_the_next_slice_is_as_good_as_idle(
    clock: FakeClock, machine: Machine
) -> None:
    ending = chain(55)
    await run(clock, machine, [ending], [chain(), chain()], [chain()], slices=1.02)
    assert 0 < ending.remaining <= 5
    assert [len(slot.coming) for slot in machine.slots] == [1, 0, 0]


async def test_groups_at_work_on_different_kinds_hand_each_other_nothing(clock: FakeClock, machine: Machine) -> None:
    wide, other = [chain(), chain()], [chain(kind="other"), chain(kind="other")]
    await run(clock, machine, wide, other, [chain(kind=PLAIN.name)], slices=5)
    assert [len(slot.chains) for slot in machine.slots] == [2, 2, 1]
    assert {batch.kind for batch in machine.groups[1].batches} == {"other"}


async def test_a_chain_that_is_gone_while_it_changes_groups_gets_no_further_slice(
    clock: FakeClock, machine: Machine
) -> None:
    gone = chain()
    gone.gone = True
    machine.slots[0].coming = [gone]
    await run(clock, machine, slices=1)
    assert machine.is_used() == [False, False, False]


# -- filling
async def test_of_many_that_wait_a_group_takes_some_to_spare_of_few_none(clock: FakeClock, machine: Machine) -> None:
    for _ in range(6):
        machine.desk.waiting.push(chain())
    busy = [chain() for _ in range(4)]
    await run(clock, machine, [], busy, busy, slices=0.5)
    assert len(machine.groups[0].batches[0].states) == 4
    for held in machine.slots[0].chains:
        held.gone = True
    for _ in range(20):
        machine.desk.waiting.push(chain())
    await clock.advance(SLICE_S)
    assert len(machine.groups[0].batches[1].states) == 8


async def test_chains_between_two_groups_are_work_that_is_there(machine: Machine) -> None:
    assert machine.lanes.hungry()
    for slot in machine.slots:
        slot.coming = [chain() for _ in range(4)]
    assert not machine.lanes.hungry()


# -- learning
@pytest.mark.parametrize("busy", ["at the end only", "at the start only", "all the time"])
async def test_capacity_follows_slices_during_which_all_groups_were_busy(
    busy: str, clock: FakeClock, machine: Machine
) -> None:
    before = machine.desk.pace.told()["wide"].capacity
    machine.groups[0].steps_per_s = 2000.0
    third = [chain(30 if busy == "at the start only" else LONG)]
    if busy == "at the end only":
        machine.slots[2].coming, third = third, []
    await run(clock, machine, [chain() for _ in range(4)], [chain()], third, slices=1.05)
    assert (machine.desk.pace.told()["wide"].capacity > before) == (busy == "all the time")


async def test_a_chain_that_ends_with_its_slice_says_nothing_of_its_speed(clock: FakeClock, machine: Machine) -> None:
    before = machine.desk.pace.told()
    await run(clock, machine, [chain(48)], slices=1)
    assert machine.is_used() == [True, False, False]
    assert machine.desk.pace.told() == before


# -- the start's measurement
class Starting(SimulatedLanes):
    """Slow at first; then a chain alone makes 600 steps a second, several make 1000."""

    async def advance(self, kind: Kind, batch: Batch, max_seconds: float) -> Slice:
        alone = 600.0 if len(batch.states) == 1 else 1000.0
        self.steps_per_s = alone if self.batches else 10.0
        return await super().advance(kind, batch, max_seconds)


async def test_the_start_measures_all_lanes_full_and_one_chain_alone_once_lanes_are_up(clock: FakeClock) -> None:
    machine = Machine(clock, [Starting(clock, 0.0) for _ in range(3)])
    machine.desk.pace = machine.lanes._pace = Pace(3, {"wide": 4}, "wide")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(machine.lanes.calibrate(KINDS["wide"], 1.0))
        await clock.advance(1.2)
    assert machine.desk.pace.capacity == pytest.approx(3000.0)
    assert machine.desk.pace.chain_speed == pytest.approx(600.0)
