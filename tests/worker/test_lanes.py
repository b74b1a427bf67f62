"""Which chain runs where: order, batches, culprits, cancellation. In virtual time, 1000 steps a second and lane."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from dynwork.kinds.sha512_chain import Sha512Chain
from dynwork.orchestrator.core.job import JobState
from dynwork.orchestrator.core.leasing import LeasePolicy
from dynwork.orchestrator.core.retry import RetryPolicy
from dynwork.orchestrator.store.values import Rules
from dynwork.testing.clock import FakeClock
from dynwork.testing.kinds import expected
from dynwork.testing.lanes import PLAIN, Wide
from dynwork.testing.one_worker import OneWorker, one_worker
from dynwork.testing.worker_side import OneOrchestrator

POISON = b"poison"


class Poisoned(Sha512Chain):
    """Raises when one of its chains is the poisoned one."""

    name = "poisoned"

    def advance(
        self, states: Sequence[bytes], remaining: Sequence[int], max_steps: int, max_seconds: float
    ) -> tuple[list[bytes], list[int]]:
        starter = self.start()
        starter.update(POISON)
        if starter.finish()[0] in states:
            raise ValueError("poison")
        return super().advance(states, remaining, max_steps, max_seconds)


KINDS = {kind.name: kind for kind in (PLAIN, Poisoned(), Wide())}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def orchestrator(clock: FakeClock) -> OneOrchestrator:
    return OneOrchestrator(clock, Rules(LeasePolicy(), replace(RetryPolicy(), attempts_max=1)))


@pytest.fixture
async def worker(clock: FakeClock, orchestrator: OneOrchestrator) -> AsyncIterator[OneWorker]:
    async with one_worker(clock, orchestrator, dict(KINDS)) as worker:
        await clock.settle()
        yield worker


async def test_chains_run_to_the_end_and_give_what_hashlib_gives(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    counts = [2, 700, 3, 1500, 40]
    jobs = [await orchestrator.submit(count, body=b"body") for count in counts]
    await clock.advance(5)
    for job_id, count in zip(jobs, counts, strict=True):
        job = await orchestrator.job(job_id)
        assert (job.state, job.chain.state.hex()) == (JobState.SUCCEEDED, expected(PLAIN.name, b"body", count))
    assert worker.metric("steps_total", kind=PLAIN.name) == sum(counts) - len(counts)
    assert worker.metric("reports_total", verb="completed", verdict="accepted") == len(counts)


async def test_a_long_chain_stays_in_its_lane_while_short_ones_pass(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    long = await orchestrator.submit(100_000, body=b"long")
    await clock.advance(0.1)
    short = [await orchestrator.submit(20, priority=9, body=bytes([index])) for index in range(40)]
    await clock.advance(2)
    assert all([(await orchestrator.job(job_id)).state is JobState.SUCCEEDED for job_id in short])
    assert next(iter(worker.desk.holding)).job_id == long
    assert all(len(batch.states) == 1 for batch in worker.lanes[0].batches)  # nothing joined it


async def test_many_short_chains_share_slices(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    for index in range(40):
        await orchestrator.submit(3, body=bytes([index]))
    await clock.advance(1)
    assert worker.metric("reports_total", verb="completed", verdict="accepted") == 40
    assert worker.metric("slices_total", kind=PLAIN.name) < 20


async def test_a_wide_kind_advances_as_many_chains_together_as_it_has_lanes(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    jobs = [await orchestrator.submit(400, kind="wide", body=bytes([index])) for index in range(8)]
    await clock.advance(6)
    assert all([(await orchestrator.job(job_id)).state is JobState.SUCCEEDED for job_id in jobs])
    assert max(len(batch.states) for lanes in worker.lanes for batch in lanes.batches) == 4


async def test_only_the_chain_that_fails_alone_is_to_blame(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    await orchestrator.submit(10**9)  # one lane is taken: all others share the second
    await clock.advance(0.1)
    bodies = [b"a", b"b", POISON, b"c", b"d", b"e"]
    jobs = {body: await orchestrator.submit(5, kind="poisoned", body=body) for body in bodies}
    await clock.advance(5)
    culprit = await orchestrator.job(jobs.pop(POISON))
    assert culprit.state is JobState.DEAD
    assert culprit.error is not None
    assert (culprit.error.code, culprit.error.detail) == ("kind_error", "ValueError: poison")
    for job_id in jobs.values():
        job = await orchestrator.job(job_id)
        assert (job.state, job.attempts) == (JobState.SUCCEEDED, 0)
    assert worker.metric("reports_total", verb="failed", verdict="accepted") == 1


async def test_a_kind_that_is_not_installed_fails_at_once(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    del worker.desk.kinds["wide"]  # type: ignore[attr-defined]  # the worker asked for it before it was lost
    job_id = await orchestrator.submit(5, kind="wide")
    await clock.advance(1)
    job = await orchestrator.job(job_id)
    assert job.error is not None
    assert job.error.code == "unknown_kind"


async def test_a_chain_that_has_no_steps_left_is_completed_without_a_lane(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    """A worker may die between the checkpoint of its last step and its report."""
    orchestrator.away = True
    await clock.advance(1)
    job_id = await orchestrator.submit(2)
    job = await orchestrator.job(job_id)
    done = replace(job, chain=replace(job.chain, done=2))
    orchestrator.store._books.jobs[job_id] = done
    orchestrator.away = False
    await clock.advance(10)
    assert (await orchestrator.job(job_id)).state is JobState.SUCCEEDED
    assert [batch for lanes in worker.lanes for batch in lanes.batches] == []


async def test_a_cancelled_chain_leaves_its_lane_and_the_next_takes_it(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    cancelled = [await orchestrator.submit(10**9, body=bytes([index])) for index in range(2)]
    await clock.advance(1)
    for job_id in cancelled:
        await orchestrator.cancel(job_id)
    after = await orchestrator.submit(10)
    await clock.advance(4)  # one heartbeat
    assert len(worker.desk.holding) == 0
    assert (await orchestrator.job(after)).state is JobState.SUCCEEDED
    batches = sum(len(lanes.batches) for lanes in worker.lanes)
    await clock.advance(2)
    assert sum(len(lanes.batches) for lanes in worker.lanes) == batches  # nothing is computed any more
