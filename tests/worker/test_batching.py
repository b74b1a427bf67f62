"""Continuous batching in a whole worker: chains join, leave and change groups while others run. In virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from dynwork.ids import new_id
from dynwork.orchestrator.core.job import JobState
from dynwork.testing.clock import FakeClock
from dynwork.testing.kinds import expected
from dynwork.testing.lanes import PLAIN, SimulatedLanes, Wide
from dynwork.testing.one_worker import SLICE_S, OneWorker, one_worker
from dynwork.testing.worker_side import OneOrchestrator
from dynwork.wire import HeartbeatReply, LeasedJob
from dynwork.worker.holding import Ending, Held, Verb

LONG = 10**9


@pytest.fixture
async def worker(clock: FakeClock, orchestrator: OneOrchestrator) -> AsyncIterator[OneWorker]:
    async with one_worker(clock, orchestrator, {kind.name: kind for kind in (PLAIN, Wide())}) as worker:
        await clock.settle()
        yield worker


def chain(name: str, *, remaining: int = LONG, kind: str = PLAIN.name, priority: int = 5) -> Held:
    return Held(name, 1, kind, b"x" * 64, 1, 1 + remaining, priority, order=1, acknowledged=1)


class Limping(Wide):
    """Its last lane makes a step a slice when all are taken."""

    name = "limping"

    def advance(
        self, states: Sequence[bytes], remaining: Sequence[int], max_steps: int, max_seconds: float
    ) -> tuple[list[bytes], list[int]]:
        last = self.lanes - 1
        left = [min(steps, 1) if index == last else steps for index, steps in enumerate(remaining)]
        return super().advance(states, left, max_steps, max_seconds)


def grant(worker: OneWorker, *remaining: int, priority: int = 5) -> list[Held]:
    """Let the worker have chains of the wide kind; the orchestrator knows nothing of them."""
    jobs = [
        LeasedJob(job_id=new_id(), epoch=1, kind="wide", state=bytes(64), done=1, total=1 + steps, priority=priority)
        for steps in remaining
    ]
    before = len(worker.desk.holding)
    worker.desk.grant(jobs)
    return list(worker.desk.holding)[before:]


def widths(lanes: SimulatedLanes) -> list[int]:
    """How many chains each slice had."""
    return [len(batch.states) for batch in lanes.batches]


async def test_of_two_chains_each_has_a_group_for_itself(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    orchestrator.away = True
    await clock.advance(1)
    for index in range(2):
        await orchestrator.submit(LONG, kind="wide", body=bytes([index]))
    orchestrator.away = False
    await clock.advance(10)
    assert [set(widths(lanes)) for lanes in worker.lanes] == [{1}, {1}]


async def test_a_group_that_has_no_work_left_is_handed_a_chain_of_another(clock: FakeClock, worker: OneWorker) -> None:
    grant(worker, 2000, 1500, 1000)
    await clock.settle()
    assert sorted(len(slot.chains) for slot in worker.slots) == [1, 2]
    await clock.advance(1.5)
    assert [len(slot.chains) for slot in worker.slots] == [1, 1]


async def test_chains_that_changed_groups_give_what_hashlib_gives(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    counts = [900, 30, 700, 450, 20, 1200, 60, 333]
    jobs = [await orchestrator.submit(count, kind="wide", body=b"body") for count in counts]
    await clock.advance(10)
    for job_id, count in zip(jobs, counts, strict=True):
        job = await orchestrator.job(job_id)
        assert (job.state, job.chain.state.hex()) == (JobState.SUCCEEDED, expected(PLAIN.name, b"body", count))


async def test_chains_join_others_that_are_running_and_those_keep_their_lanes(
    clock: FakeClock, worker: OneWorker
) -> None:
    grant(worker, *[LONG] * 8)
    await clock.advance(0.01)
    first = [list(slot.chains) for slot in worker.slots]
    assert [len(chains) for chains in first] == [4, 4]
    gone = first[0][1]
    worker.desk.drop([gone.ref], "cancelled")
    urgent = grant(worker, LONG, LONG, priority=9)
    await clock.advance(0.2)
    assert worker.slots[0].chains == urgent[:1] + [held for held in first[0] if held is not gone]
    assert worker.slots[1].chains == first[1]
    assert worker.desk.waiting.first() is urgent[1]


@pytest.mark.parametrize("urgent", [5, 9])
async def test_in_unequal_lanes_those_of_one_priority_keep_step_and_the_urgent_come_first(
    urgent: int, clock: FakeClock, orchestrator: OneOrchestrator
) -> None:
    """The kernel lets its last lane rest where the core is shared: each has its turn there, and all end together."""
    async with one_worker(clock, orchestrator, {kind.name: kind for kind in (PLAIN, Limping())}) as worker:
        for slot in worker.slots:
            slot.chains = [chain("last", kind=Limping.name)]
            slot.chains += [chain("other", kind=Limping.name, priority=urgent) for _ in range(3)]
        worker.desk.work.set()
        last, *others = worker.slots[0].chains
        await clock.advance(50 * SLICE_S)
        assert len(worker.slots[0].chains) == 4
        done = [held.done for held in others]
        assert min(done) > 0.9 * max(done)
        assert last.done > 0.9 * min(done) if urgent == last.priority else 0 < last.done < 0.1 * min(done)


async def test_a_chain_that_got_no_lane_waits_and_comes_first_the_next_time(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    orchestrator.away = True
    long, spare = chain("long"), chain("spare")
    for slot in worker.slots:
        slot.chains = [chain("busy")]
    worker.slots[0].chains = [long, spare]
    worker.desk.work.set()
    await clock.advance(SLICE_S)
    assert worker.slots[0].chains == [long]
    assert (worker.desk.waiting.first(), spare.passed_over, long.passed_over) == (spare, True, False)


# -- orders take effect within a slice
async def test_a_cancelled_chain_is_out_of_its_lane_within_a_slice(clock: FakeClock, worker: OneWorker) -> None:
    (held,) = grant(worker, LONG)
    await clock.advance(10 * SLICE_S + 0.01)
    worker.desk.drop([held.ref], "cancelled")
    await clock.advance(SLICE_S)
    assert all(slot.idle for slot in worker.slots)
    assert worker.metric("leaving_seconds_count") == 1
    assert 0 < worker.metric("leaving_seconds_sum") <= SLICE_S


@pytest.mark.parametrize("how", ["drain", "stop"])
async def test_all_lanes_are_empty_a_slice_after_the_order_to_hand_back(
    how: str, clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    orchestrator.away = True
    chains = grant(worker, *[LONG] * 8)
    await clock.advance(1.01)
    if how == "stop":
        worker.stop.set()
    else:
        worker.desk.obey(HeartbeatReply(cancelled=[], stale=[], grants=[], drain=True, heartbeat_s=3, lease_s=9))
    await clock.advance(SLICE_S)
    assert all(slot.idle for slot in worker.slots)
    assert [held.ending for held in chains] == [Ending(Verb.RELEASED)] * 8
    assert worker.metric("leaving_seconds_count") == 8
    assert 0 < worker.metric("leaving_seconds_sum") <= 8 * SLICE_S


async def test_a_chain_between_two_groups_is_handed_back_or_left_out_like_any_other(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    orchestrator.away = True
    moving, gone = chain("moving"), chain("gone")
    gone.gone = True
    worker.slots[0].coming = [moving, gone]
    worker.desk.draining = True
    worker.desk.work.set()
    await clock.settle()
    assert all(slot.idle for slot in worker.slots)
    assert (moving.ending, gone.ending) == (Ending(Verb.RELEASED), None)
    assert widths(worker.lanes[0]) == []
