"""Ask, heartbeat and report, through every fault of the line. In virtual time, against the reference store."""

from __future__ import annotations

import asyncio
from collections.abc import Sized

import httpx
import pytest

from dynwork import errors
from dynwork.orchestrator.core.job import JobState
from dynwork.orchestrator.core.leasing import LeasePolicy
from dynwork.orchestrator.store.values import Rules
from dynwork.testing.clock import FakeClock
from dynwork.testing.one_worker import OneWorker, one_worker
from dynwork.testing.orchestrators import LOST, REFUSED, Answer, Fault, held, refusing, replying
from dynwork.testing.worker_side import HEARTBEAT, LEASE, REPORT, OneOrchestrator
from dynwork.worker.heartbeat import Heartbeat

LONG = 10**9


async def TIMEOUT(request: httpx.Request, _answer: Answer) -> httpx.Response:  # noqa: N802 - reads like a constant
    raise httpx.ReadTimeout("no answer", request=request)


ONCE_FAILED = {
    "timeout": TIMEOUT,
    "reset": REFUSED,
    "500": replying(500),
    "503": refusing(errors.StoreUnavailableError("the disk is full")),
    "429": refusing(errors.QueueFullError("slow down")),
    "401": refusing(errors.UnauthorizedError("show the token")),
    "nonsense": replying(200, b"<html>"),
    "lost reply": LOST,
}
faults = pytest.mark.parametrize("fault", ONCE_FAILED.values(), ids=ONCE_FAILED.keys())


# -- asking
async def test_an_idle_worker_has_one_ask_parked(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    await clock.advance(50)
    assert orchestrator.in_flight[LEASE] == 1
    assert orchestrator.in_flight_max[LEASE] == 1
    assert [ask.wait_s for ask in orchestrator.asks] == [0, 20, 20, 20]  # the first tells that somebody is there


async def test_there_is_never_more_than_one_of_each_message_in_flight(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    for index in range(60):
        await orchestrator.submit(index * 7 + 2, body=bytes([index]))
        await clock.advance(0.05)
    await clock.advance(30)
    assert (await orchestrator.store.totals()).succeeded == 60
    assert dict(orchestrator.in_flight_max) == {LEASE: 1, HEARTBEAT: 1, REPORT: 1}


async def test_a_worker_with_all_lanes_busy_for_long_does_not_ask(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    for index in range(5):
        await orchestrator.submit(LONG, body=bytes([index]))
    await clock.advance(10)
    assert orchestrator.in_flight[LEASE] == 0
    assert len(worker.desk.holding) == 2


async def test_a_worker_asks_before_its_lanes_run_dry(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    for index in range(2):
        await orchestrator.submit(1_001, body=bytes([index]))  # a second in each lane
    await clock.advance(0.4)
    assert orchestrator.in_flight[LEASE] == 0
    await clock.advance(0.2)
    assert orchestrator.in_flight[LEASE] == 1


@pytest.mark.parametrize(("iterations", "order"), [(3, [REPORT, LEASE]), (100, [LEASE, REPORT])])
async def test_after_a_grant_only_the_report_of_a_short_chain_goes_before_the_next_ask(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker, iterations: int, order: list[str]
) -> None:
    before = len(orchestrator.received)
    await orchestrator.submit(iterations)
    await clock.advance(0.2)
    assert orchestrator.received[before:] == order


async def test_an_ask_says_who_asks_and_lists_all_that_is_held(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    long = await orchestrator.submit(LONG)
    orchestrator.faults[REPORT].extend([REFUSED] * 100)
    short = await orchestrator.submit(10)
    await clock.advance(1)
    late = await orchestrator.submit(100)
    await clock.advance(0.05)
    ask = orchestrator.asks[-1]
    assert (ask.worker_id, ask.incarnation, ask.lanes, ask.kinds) == ("w1", "i1", 2, ["sha512-chain"])
    assert ask.capacity == pytest.approx(2000, rel=0.05)
    assert ask.chain_speed == pytest.approx(1000, rel=0.05)
    assert {one.job_id for one in ask.holding} == {long, short, late}
    assert [one.job_id for one in ask.unreported] == [short]


async def test_a_worker_whose_reports_are_not_answered_does_not_hold_ever_more(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dynwork.worker.asking.HELD_MAX", 3)
    orchestrator.faults[REPORT].extend([REFUSED] * 1000)
    for index in range(20):
        await orchestrator.submit(900, body=bytes([index]))
    await clock.advance(20)
    lanes = 2
    assert 3 <= len(worker.desk.holding) < 3 + 2 * lanes  # what one grant adds: its lanes, and what is prefetched
    orchestrator.faults[REPORT].clear()
    await clock.advance(30)
    assert (await orchestrator.store.totals()).succeeded == 20


async def test_who_reaches_an_orchestrator_again_wakes_who_still_waits_to_try(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    orchestrator.away = True
    await clock.advance(60)  # by now asks are seconds apart, heartbeats less than one
    orchestrator.away = False
    heard, asked = len(orchestrator.heartbeats), len(orchestrator.asks)
    while len(orchestrator.heartbeats) == heard:
        await clock.advance(0.01)
    assert len(orchestrator.asks) > asked, "as soon as the heartbeat was answered"


@pytest.mark.parametrize("route", [LEASE, HEARTBEAT, REPORT])
async def test_after_a_message_that_went_well_failures_count_anew(
    route: str, clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    await orchestrator.submit(900)  # there will be something to report
    orchestrator.away = True
    await clock.advance(60)
    orchestrator.away = False
    await clock.advance(30)  # all is well again
    conversations: dict[str, Sized] = {
        LEASE: orchestrator.asks,
        HEARTBEAT: orchestrator.heartbeats,
        REPORT: orchestrator.reports,
    }
    sent = conversations[route]
    orchestrator.faults[route].append(REFUSED)
    await orchestrator.submit(900)
    while orchestrator.faults[route]:
        await clock.advance(0.01)
    before = len(sent)
    await clock.advance(0.1)
    assert len(sent) > before


async def test_a_checkpoint_that_nobody_acknowledged_is_sent_again(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    await orchestrator.submit(LONG)
    await clock.advance(1)
    heartbeat = Heartbeat(worker.desk, worker.contact, clock, lambda: 0.5)
    orchestrator.faults[HEARTBEAT].append(REFUSED)
    answered = [await heartbeat.beat() for _ in range(3)]  # at once: the chain does not advance meanwhile
    assert answered == [False, True, True]
    again, nothing_new = orchestrator.heartbeats[-2:]
    assert [checkpoint.done for checkpoint in again.checkpoints] == [held.done for held in worker.desk.holding]
    assert nothing_new.checkpoints == []


@faults
async def test_a_failed_ask_is_repeated_and_its_grants_are_not_lost(
    fault: Fault, clock: FakeClock, orchestrator: OneOrchestrator
) -> None:
    orchestrator.faults[LEASE].append(fault)
    job_id = await orchestrator.submit(10)
    async with one_worker(clock, orchestrator):
        await clock.advance(3)
        job = await orchestrator.job(job_id)
    assert (job.state, job.lease.epoch, job.losses) == (JobState.SUCCEEDED, 1, 0)


async def test_an_orchestrator_that_answers_empty_at_once_is_not_asked_in_a_loop(
    clock: FakeClock, orchestrator: OneOrchestrator
) -> None:
    empty = b'{"grants": [], "drain": false, "heartbeat_s": 3, "lease_s": 9}'
    orchestrator.faults[LEASE].extend([replying(200, empty)] * 1000)
    async with one_worker(clock, orchestrator):
        await clock.advance(10)
    assert 1000 - len(orchestrator.faults[LEASE]) < 100


# -- heartbeats
async def test_heartbeats_come_as_dictated_and_wait_for_nobody(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    orchestrator.faults[LEASE].append(held(asyncio.Event(), asyncio.Event()))  # the next ask hangs for ever
    orchestrator.faults[REPORT].append(held(asyncio.Event(), asyncio.Event()))
    await orchestrator.submit(10)
    await clock.advance(30)
    assert len(orchestrator.heartbeats) == 10


async def test_a_shorter_interval_holds_from_the_moment_it_is_dictated(clock: FakeClock) -> None:
    orchestrator = OneOrchestrator(clock, Rules(leasing=LeasePolicy(lease_s=1.5, heartbeat_s=0.5)))
    arrived, answered = asyncio.Event(), asyncio.Event()
    orchestrator.faults[LEASE].append(held(arrived, answered))
    async with one_worker(clock, orchestrator):
        await clock.advance(0.2)  # by now the worker waits for the 3 s that hold until it is told better
        answered.set()
        await clock.advance(1.2)
        assert len(orchestrator.heartbeats) == 2


async def test_checkpoints_are_sent_of_chains_that_advanced_since_the_last_answered_heartbeat(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    job_id = await orchestrator.submit(4000)
    orchestrator.faults[REPORT].extend([REFUSED] * 1000)
    await clock.advance(3.5)
    first = orchestrator.heartbeats[-1]
    assert [one.job_id for one in first.checkpoints] == [job_id]
    assert (await orchestrator.job(job_id)).chain.done == first.checkpoints[0].done >= 2900
    assert next(iter(worker.desk.holding)).acknowledged == first.checkpoints[0].done
    orchestrator.faults[HEARTBEAT].append(REFUSED)
    await clock.advance(3)  # the chain ends: its report carries the state, heartbeats only list it
    assert [one.job_id for one in orchestrator.heartbeats[-1].holding] == [job_id]
    assert orchestrator.heartbeats[-1].checkpoints == []


async def test_a_heartbeat_nobody_answered_is_repeated_soon_with_its_checkpoint(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    job_id = await orchestrator.submit(LONG)
    orchestrator.faults[HEARTBEAT].extend([TIMEOUT, LOST])
    await clock.advance(4)
    assert (await orchestrator.job(job_id)).chain.done >= 2900
    assert [len(beat.checkpoints) for beat in orchestrator.heartbeats] == [1, 1]
    assert worker.metric("heartbeat_failures_total") == 2


async def test_a_grant_that_was_lost_comes_with_the_next_heartbeat(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    await orchestrator.submit(LONG)
    await clock.settle()
    orchestrator.faults[LEASE].extend([LOST, held(asyncio.Event(), asyncio.Event())])
    await clock.advance(20)  # the ask parked before ends empty, the next is lost with its grant
    job_id = await orchestrator.submit(10)
    await clock.advance(25)
    assert (await orchestrator.job(job_id)).state is JobState.SUCCEEDED


async def test_a_stale_chain_is_dropped_and_never_reported(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    job_id = await orchestrator.submit(5000)
    await clock.advance(1)
    await orchestrator.store.worker_gone("w1", clock.now())
    async with one_worker(clock, orchestrator, worker_id="w2", incarnation="i2"):
        await clock.advance(3)
        assert len(worker.desk.holding) == 0
        await clock.advance(6)
    job = await orchestrator.job(job_id)
    assert (job.state, job.lease.worker_id) == (JobState.SUCCEEDED, "w2")
    assert len(orchestrator.reports) == 1


# -- reports
@faults
async def test_a_failed_report_is_repeated_until_it_is_answered(
    fault: Fault, clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    orchestrator.faults[REPORT].append(fault)
    job_id = await orchestrator.submit(10)
    await clock.advance(2)
    job = await orchestrator.job(job_id)
    assert (job.state, job.lease.epoch) == (JobState.SUCCEEDED, 1)
    assert worker.metric("reports_total", verb="completed", verdict="accepted") == 1
    assert len(worker.desk.holding) == 0


async def test_what_ends_while_a_report_is_under_way_goes_together_in_the_next(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    released = asyncio.Event()
    orchestrator.faults[REPORT].append(held(asyncio.Event(), released))
    await orchestrator.submit(2)
    await clock.advance(1)
    for index in range(20):
        await orchestrator.submit(3, body=bytes([index]))
    await clock.advance(1)
    released.set()
    await clock.advance(1)
    assert [len(report.completed) for report in orchestrator.reports] == [1, 20]


async def test_a_late_report_hears_over_and_ends_the_holding(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    job_id = await orchestrator.submit(1000)
    await clock.advance(0.5)
    await orchestrator.cancel(job_id)
    await clock.advance(1)  # it ends before the next heartbeat could tell
    assert worker.metric("reports_total", verb="completed", verdict="over") == 1
    assert len(worker.desk.holding) == 0


async def test_a_report_that_is_refused_does_not_block_the_others(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    refusal = refusing(errors.InvalidInputError("no"))
    released = asyncio.Event()
    orchestrator.faults[REPORT].extend([held(asyncio.Event(), released), refusal, refusal])
    jobs = [await orchestrator.submit(2)]
    await clock.advance(1)
    jobs += [await orchestrator.submit(3, body=bytes([index])) for index in range(3)]
    await clock.advance(1)
    released.set()
    await clock.advance(1)
    await clock.advance(10)  # the one refused again, by itself, failed: it is not left with this worker for ever
    ended = [await orchestrator.job(job_id) for job_id in jobs]
    assert [job.state for job in ended] == [JobState.SUCCEEDED] * 4
    assert sum(job.attempts for job in ended) == 1
    assert len(worker.desk.holding) == 0


# -- away and back
async def test_an_orchestrator_away_for_long_costs_nothing_that_was_computed(
    clock: FakeClock, orchestrator: OneOrchestrator, worker: OneWorker
) -> None:
    jobs = [await orchestrator.submit(6_000), await orchestrator.submit(40_000)]
    await clock.advance(1)
    orchestrator.away = True
    await clock.advance(30)
    orchestrator.away = False
    await clock.advance(2)  # well before the rest of the second chain
    first, second = [await orchestrator.job(job_id) for job_id in jobs]
    assert (first.state, first.lease.epoch) == (JobState.SUCCEEDED, 1)
    assert second.chain.done > 31_000
    await clock.advance(10)
    second = await orchestrator.job(jobs[1])
    assert (second.state, second.lease.epoch) == (JobState.SUCCEEDED, 1)
    assert worker.metric("steps_total", kind="sha512-chain") == 5_999 + 39_999


async def test_a_refused_token_is_tried_again_and_readiness_knows_why(
    clock: FakeClock, orchestrator: OneOrchestrator
) -> None:
    refusal = refusing(errors.UnauthorizedError("show the token"))
    for route in (LEASE, HEARTBEAT):
        orchestrator.faults[route].extend([refusal] * 5)
    job_id = await orchestrator.submit(10)
    async with one_worker(clock, orchestrator) as worker:
        await clock.settle()
        assert "token" in (worker.contact.trouble or "")
        await clock.advance(30)
        assert worker.contact.trouble is None
    assert (await orchestrator.job(job_id)).state is JobState.SUCCEEDED
