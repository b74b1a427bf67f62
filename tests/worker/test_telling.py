"""What a worker tells and how often: its pace for every kind, and reports that do not cost more than the work."""

from __future__ import annotations

import pytest

from dynwork.kinds.sha512_chain import Sha512Chain
from dynwork.orchestrator.core.job import JobState
from dynwork.testing.clock import FakeClock
from dynwork.testing.lanes import PLAIN, Wide
from dynwork.testing.one_worker import OneWorker, one_worker
from dynwork.testing.worker_side import OneOrchestrator
from dynwork.wire import KindPace
from dynwork.worker.reporting import APART_S

LONG = 10**9


class Other(Sha512Chain):
    """Like the default kind, by another name: not calibrated."""

    name = "other"


async def test_asks_and_heartbeats_tell_the_pace_of_every_kind(clock: FakeClock, orchestrator: OneOrchestrator) -> None:
    async with one_worker(clock, orchestrator, {kind.name: kind for kind in (PLAIN, Wide())}) as worker:
        await clock.advance(4)
        for message in (orchestrator.asks[-1], orchestrator.heartbeats[-1]):
            assert message.paces == worker.desk.pace.told()
            assert message.paces[PLAIN.name].capacity == message.capacity == 2000.0
            assert message.paces["wide"] == KindPace(capacity=0, chain_speed=0, lanes=8)


@pytest.mark.parametrize("kind", ["other", "wide"])
async def test_a_kind_whose_jobs_take_no_time_is_soon_handed_out_by_the_second_not_by_the_lane(
    kind: str, clock: FakeClock, orchestrator: OneOrchestrator
) -> None:
    async with one_worker(clock, orchestrator, {kind.name: kind for kind in (PLAIN, Other(), Wide())}) as worker:
        await clock.settle()
        for lanes in worker.lanes:
            lanes.steps_per_s = 100_000.0
        asks = len(orchestrator.asks)
        for index in range(200):
            await orchestrator.submit(2, kind=kind, body=bytes([index]))
        await clock.advance(2)
        assert worker.metric("reports_total", verb="completed", verdict="accepted") == 200
        assert len(orchestrator.asks) - asks < 20


async def test_while_chains_are_in_work_reports_keep_a_distance(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    await orchestrator.submit(LONG)
    await clock.advance(0.1)
    jobs = []
    for _ in range(20):
        jobs.append(await orchestrator.submit(3))
        await clock.advance(APART_S / 5)
    await clock.advance(APART_S)
    assert [(await orchestrator.job(job_id)).state for job_id in jobs] == [JobState.SUCCEEDED] * 20
    assert len(orchestrator.reports) <= 6


async def test_the_report_that_leaves_the_worker_idle_goes_at_once(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    for _ in range(5):  # one job after the other, as a client does that waits for each
        job_id = await orchestrator.submit(3)
        await clock.advance(0.003)
        assert (await orchestrator.job(job_id)).state is JobState.SUCCEEDED
