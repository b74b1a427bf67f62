"""What expires, what must not, and what is deleted."""

from collections.abc import MutableMapping
from typing import Any

import pytest

from dynwork.errors import StoreUnavailableError
from dynwork.orchestrator.core.job import Job
from dynwork.orchestrator.core.machine import Completed
from dynwork.orchestrator.core.worker import Pace
from dynwork.orchestrator.leader import Leader
from dynwork.orchestrator.store.commands import Heartbeat, Held, Report
from dynwork.testing.orchestrator import Bench, ask, job_id, running, submission

LEASE_S = 9.0


async def lease(bench: Bench, worker_id: str = "w", number: int = 1) -> None:
    await bench.orchestrator.rounds.submit([submission(number)])
    grant = await bench.orchestrator.rounds.ask(ask(worker_id))
    assert len(grant.grants) == 1


async def beat(bench: Bench, worker_id: str = "w", number: int = 1) -> None:
    held = (Held(job_id(number), 1),)
    await bench.orchestrator.rounds.heartbeat(
        Heartbeat(worker_id, f"{worker_id}-1", {"sha512-chain": Pace(10, 10)}, held)
    )


async def job(bench: Bench, number: int = 1) -> Job:
    found = await bench.store.job("local", job_id(number))
    assert found is not None
    return found


async def after_grace(bench: Bench) -> None:
    await bench.clock.advance(LEASE_S + 1)


async def test_the_leases_of_a_silent_worker_expire_after_the_lease_time(bench: Bench) -> None:
    await after_grace(bench)
    await lease(bench)
    await bench.clock.advance(LEASE_S - 0.5)
    assert (await job(bench)).state == "leased"
    await bench.clock.advance(2)
    assert (await job(bench)).state == "queued"
    assert [worker.state for worker in await bench.store.workers()] == ["lost"]


async def test_a_worker_that_is_heard_keeps_its_leases(bench: Bench) -> None:
    await lease(bench)
    for _ in range(10):
        await bench.clock.advance(3)
        await beat(bench)
    assert (await job(bench)).state == "leased"


async def test_nothing_expires_within_one_lease_time_of_the_start() -> None:
    async with running() as before:
        await lease(before)
    before.clock.stall(100)
    async with running(before) as bench:
        await bench.clock.advance(LEASE_S - 0.1)
        assert bench.store.expirations == []
        await bench.clock.advance(1.2)
        assert (await job(bench)).state == "queued"


async def test_nothing_expires_within_one_lease_time_of_a_stall_of_our_own(bench: Bench) -> None:
    await after_grace(bench)
    await lease(bench)
    bench.clock.stall(30)
    seen = len(bench.store.expirations)
    await bench.clock.advance(LEASE_S - 1.1)
    assert len(bench.store.expirations) == seen
    await beat(bench)
    await bench.clock.advance(5)
    assert (await job(bench)).state == "leased"


async def test_a_stall_within_a_sweep_expires_nothing_that_was_alive_when_it_began(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await after_grace(bench)
    await lease(bench)
    forget = bench.store.forget

    async def stalling(epoch: int, before: float) -> int:
        monkeypatch.undo()
        bench.clock.stall(2 * LEASE_S)
        return await forget(epoch, before)

    monkeypatch.setattr(bench.store, "forget", stalling)
    await bench.clock.advance(1.1)
    await beat(bench)
    await bench.clock.advance(LEASE_S)
    assert (await job(bench)).losses == 0


async def test_being_a_little_late_is_no_stall(bench: Bench) -> None:
    await after_grace(bench)
    await lease(bench)
    bench.clock.stall(LEASE_S / 3 + 0.9)  # the tick was planned for within a second
    await bench.clock.advance(LEASE_S)
    assert (await job(bench)).state == "queued"


async def test_nothing_expires_within_one_lease_time_of_the_store_coming_back(bench: Bench) -> None:
    await after_grace(bench)
    await lease(bench)
    bench.store.away = True
    with pytest.raises(StoreUnavailableError):
        await beat(bench)
    await bench.clock.advance(60)
    bench.store.away = False
    seen = len(bench.store.expirations)
    await bench.clock.advance(LEASE_S - 0.1)
    assert len(bench.store.expirations) == seen
    await beat(bench)
    await bench.clock.advance(5)
    assert (await job(bench)).state == "leased"


async def test_an_outage_that_only_the_sweep_has_met_counts_as_well(bench: Bench) -> None:
    await after_grace(bench)
    await lease(bench)
    await bench.clock.advance(LEASE_S - 2)
    bench.store.away = True
    await bench.clock.advance(3)
    bench.store.away = False
    await bench.clock.advance(LEASE_S - 0.1)
    assert (await job(bench)).state == "leased"
    await bench.clock.advance(2)
    assert (await job(bench)).state == "queued"


async def test_after_an_outage_silent_workers_expire_again(bench: Bench) -> None:
    await after_grace(bench)
    await lease(bench)
    bench.store.away = True
    await bench.clock.advance(3)
    bench.store.away = False
    await bench.clock.advance(LEASE_S + 2.1)
    assert (await job(bench)).state == "queued"


async def test_an_outage_that_only_rounds_have_met_counts_as_well(bench: Bench) -> None:
    await after_grace(bench)
    await lease(bench)
    await bench.clock.advance(LEASE_S - 1)
    bench.store.away = True
    with pytest.raises(StoreUnavailableError):
        await beat(bench)
    bench.store.away = False  # back before the sweep has noticed anything
    await bench.clock.advance(5)
    assert (await job(bench)).state == "leased"


async def test_what_expired_wakes_a_parked_worker(bench: Bench) -> None:
    await after_grace(bench)
    await lease(bench)
    parked = bench.start(bench.lease("other", wait_s=30))
    await bench.clock.advance(LEASE_S + 1.1)
    assert [grant.job_id for grant in parked.result().grants] == [job_id(1)]


async def test_the_leases_of_a_worker_known_to_be_dead_end_at_once_even_in_grace(bench: Bench) -> None:
    await lease(bench)
    parked = bench.start(bench.lease("other", wait_s=30))
    await bench.clock.settle()
    before = bench.clock.now()
    await bench.orchestrator.sweep.worker_gone("w")
    await bench.clock.settle()
    assert [grant.epoch for grant in parked.result().grants] == [2]
    assert bench.clock.now() == before


async def test_more_leases_than_one_sweep_takes_expire_in_the_same_tick(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dynwork.orchestrator.sweep.EXPIRE_MAX", 2)
    await after_grace(bench)
    for number in range(5):
        await lease(bench, f"w{number}", number)
    await bench.clock.advance(LEASE_S + 1)
    assert [(await job(bench, number)).state for number in range(5)] == ["queued"] * 5


async def test_only_the_leader_sweeps(bench: Bench) -> None:
    await after_grace(bench)
    await bench.store.lead("other", bench.clock.now() + 11, 1000)
    await bench.clock.advance(12)
    await lease(bench)
    await bench.clock.advance(3 * LEASE_S)
    assert (await job(bench)).state == "leased"


async def test_a_sweep_under_a_leadership_that_has_passed_changes_nothing_and_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await after_grace(bench)
    await lease(bench)
    monkeypatch.setattr(Leader, "epoch", 99)
    await bench.clock.advance(3 * LEASE_S)
    assert (await job(bench)).state == "leased"
    monkeypatch.undo()
    await bench.clock.advance(2)
    assert (await job(bench)).state == "queued"


async def test_jobs_are_deleted_when_they_have_been_kept_long_enough() -> None:
    async with running(retention_s=60) as bench:
        for number in (1, 2):
            await lease(bench, number=number)
            await bench.orchestrator.rounds.report([Report("w", "w-1", Held(job_id(number), 1), Completed(b"x", 100))])
            await bench.clock.advance(30)
        await bench.clock.advance(10)
        assert await bench.store.job("local", job_id(1)) is None
        assert await bench.store.job("local", job_id(2)) is not None


async def test_retention_works_through_any_number_of_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dynwork.orchestrator.sweep.RETIRE_MAX", 2)
    async with running(retention_s=60) as bench:
        await bench.orchestrator.rounds.submit([submission(number, total=1) for number in range(7)])
        await bench.clock.advance(62)
        assert (await bench.store.totals()).succeeded == 0


async def test_a_worker_lost_long_ago_is_forgotten(bench: Bench) -> None:
    await bench.orchestrator.rounds.ask(ask("w"))
    await bench.clock.advance(20)
    bench.clock.stall(3570)
    await bench.clock.advance(5)
    assert [worker.state for worker in await bench.store.workers()] == ["lost"]
    await bench.clock.advance(10)
    assert await bench.store.workers() == []


async def test_the_sweep_outlives_an_outage_and_says_so(bench: Bench, events: list[MutableMapping[str, Any]]) -> None:
    bench.store.away = True
    await bench.clock.advance(3)
    assert any(event["event"] == "store_unavailable" and event["during"] == "sweep" for event in events)
    assert 'dynwork_store_errors_total{during="sweep"}' in (await bench.http.get("/metrics")).text


async def test_expired_leases_are_told_in_the_log(bench: Bench, events: list[MutableMapping[str, Any]]) -> None:
    await after_grace(bench)
    await lease(bench)
    await bench.clock.advance(LEASE_S + 1.1)
    told = [event for event in events if event["event"] == "leases_expired"]
    assert [(event["worker_ids"], event["leases"]) for event in told] == [(("w",), 1)]


@pytest.mark.parametrize("during", ["sample", "lead"])
async def test_an_outage_counts_whoever_has_met_it(
    bench: Bench, during: str, monkeypatch: pytest.MonkeyPatch, events: list[MutableMapping[str, Any]]
) -> None:
    await after_grace(bench)
    method = {"sample": "workers", "lead": "lead"}[during]

    async def away(*_: object) -> None:
        monkeypatch.undo()
        raise StoreUnavailableError("just once")

    assert not bench.orchestrator.grace.lasts()
    monkeypatch.setattr(bench.store, method, away)
    await bench.clock.advance(2.1)
    assert bench.orchestrator.grace.lasts()
    assert not bench.orchestrator.grace.store_away, "something was written since"
    assert during in [event["during"] for event in events if event["event"] == "store_unavailable"]
