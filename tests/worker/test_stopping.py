"""Drain and stop: everything goes back with what it has, in time, whoever answers."""

from __future__ import annotations

import asyncio

from dynwork.orchestrator.core.job import JobState, LeaseEnd
from dynwork.settings import WorkerSettings
from dynwork.testing.clock import FakeClock
from dynwork.testing.one_worker import STOP_S, OneWorker, one_worker
from dynwork.testing.orchestrators import LOST, held
from dynwork.testing.worker_side import HEARTBEAT, LEASE, OneOrchestrator
from dynwork.wire import HeartbeatReply
from dynwork.worker.holding import Ending, Held, Verb

LONG = 10**9
ORDER_S_MAX = 0.05


def test_a_slice_is_no_longer_than_an_order_may_take() -> None:
    """Lanes are empty a slice after an order (test_batching): this makes it 50 ms in workers as they come."""
    assert 0 < WorkerSettings.model_fields["worker_slice_s"].default < ORDER_S_MAX


async def test_a_stopped_worker_hands_every_chain_back_with_its_checkpoint(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    jobs = [await orchestrator.submit(LONG) for _ in range(2)]
    await clock.advance(2)
    worker.stop.set()
    await clock.advance(0.1)
    assert worker.running.done()
    for job_id in jobs:
        job = await orchestrator.job(job_id)
        assert (job.state, job.lease.end, job.attempts, job.losses) == (JobState.QUEUED, LeaseEnd.RELEASED, 0, 0)
        assert job.chain.done >= 1950
    assert all(lanes.closed for lanes in worker.lanes)


async def test_a_chain_that_ends_in_its_last_slice_is_completed_not_released(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    job_id = await orchestrator.submit(40)
    await clock.settle()
    worker.stop.set()
    await clock.advance(0.1)
    assert worker.running.done()
    assert (await orchestrator.job(job_id)).state is JobState.SUCCEEDED


async def test_an_idle_worker_stops_at_once_though_its_ask_is_parked(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    assert orchestrator.in_flight[LEASE] == 1
    worker.stop.set()
    await clock.settle()
    assert worker.running.done()
    assert orchestrator.in_flight[LEASE] == 0


async def test_a_stop_ends_in_time_though_no_orchestrator_answers(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    await orchestrator.submit(LONG)
    await clock.advance(1)
    orchestrator.away = True
    worker.stop.set()
    await clock.advance(STOP_S - 0.1)
    assert not worker.running.done()
    await clock.advance(0.2)
    assert worker.running.done()


async def test_a_stop_ends_in_time_though_an_orchestrator_hangs(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    orchestrator.faults[HEARTBEAT].append(held(asyncio.Event(), asyncio.Event()))
    worker.stop.set()
    await clock.advance(STOP_S + 0.1)
    assert worker.running.done()


async def test_an_idle_worker_without_an_orchestrator_stops_at_once(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    orchestrator.away = True
    worker.stop.set()
    await clock.settle()
    assert worker.running.done()


async def test_a_grant_on_its_way_to_a_worker_that_stops_is_handed_back(
    clock: FakeClock, orchestrator: OneOrchestrator
) -> None:
    job_id = await orchestrator.submit(LONG)
    orchestrator.faults[LEASE].append(LOST)
    async with one_worker(clock, orchestrator) as worker:
        await clock.settle()
        assert (await orchestrator.job(job_id)).state is JobState.LEASED
        assert len(worker.desk.holding) == 0
        worker.stop.set()
        await clock.advance(0.1)
        assert worker.running.done()
    job = await orchestrator.job(job_id)
    assert (job.state, job.lease.end) == (JobState.QUEUED, LeaseEnd.RELEASED)


async def test_a_drained_worker_hands_everything_back_asks_no_more_and_keeps_beating(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    jobs = [await orchestrator.submit(LONG) for _ in range(2)]
    await clock.advance(1)
    orchestrator.drain = True
    await clock.advance(2.5)
    for job_id in jobs:
        job = await orchestrator.job(job_id)
        assert (job.state, job.lease.end) == (JobState.QUEUED, LeaseEnd.RELEASED)
        assert job.chain.done > 2500
    asks, beats = len(orchestrator.asks), len(orchestrator.heartbeats)
    await clock.advance(30)
    assert len(orchestrator.asks) == asks
    assert len(orchestrator.heartbeats) == beats + 10
    assert not worker.running.done()


async def test_chains_that_wait_for_a_lane_are_handed_back_without_another_slice(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    for index in range(2):
        await orchestrator.submit(LONG, body=bytes([index]))
    await clock.advance(0.01)  # in the middle of the first slice: both lanes are taken
    waiting = Held("j", 1, "sha512-chain", b"x" * 64, 1, LONG, 5, order=99, acknowledged=1)
    worker.desk.waiting.push(waiting)
    worker.desk.obey(HeartbeatReply(cancelled=[], stale=[], grants=[], drain=True, heartbeat_s=3, lease_s=9))
    assert waiting.ending == Ending(Verb.RELEASED)


async def test_a_drain_told_to_an_ask_is_obeyed_likewise(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    orchestrator.drain = True
    orchestrator.nudge()
    await clock.settle()
    asks = len(orchestrator.asks)
    await clock.advance(2)
    assert worker.desk.draining
    assert len(orchestrator.asks) == asks


async def test_a_drain_that_is_called_off_ends(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    orchestrator.drain = True
    orchestrator.nudge()
    await clock.advance(5)
    orchestrator.drain = False
    job_id = await orchestrator.submit(10)
    await clock.advance(5)
    assert (await orchestrator.job(job_id)).state is JobState.SUCCEEDED
