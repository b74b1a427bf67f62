"""The look at the whole: once a second, whatever is asked meanwhile."""

import pytest

from dynwork import wire
from dynwork.errors import StoreUnavailableError
from dynwork.orchestrator.core.machine import Completed
from dynwork.orchestrator.store.commands import Held, Report, Round
from dynwork.testing.orchestrator import URL, Bench, ask, job_id, submission


async def stats(bench: Bench) -> wire.Stats:
    return (await bench.call("/internal/stats", wire.StatsReply)).stats


async def test_the_queue_in_numbers(bench: Bench) -> None:
    await bench.orchestrator.rounds.submit([submission(number, total=101) for number in range(4)])
    grant = await bench.orchestrator.rounds.ask(ask("w", lanes=1))
    held = Held(grant.grants[0].job_id, 1)
    await bench.orchestrator.rounds.report([Report("w", "w-1", held, Completed(b"x", 101))])
    await bench.orchestrator.rounds.ask(ask("w", lanes=1))
    await bench.clock.advance(1)
    assert (await stats(bench)).model_dump() == {
        "queued": 2,
        "leased": 1,
        "succeeded": 1,
        "dead": 0,
        "cancelled": 0,
        "backlog_steps": 300.0,
        "backlog_s": 30.0,
        "submitted_per_s": 4.0,
        "completed_per_s": 1.0,
        "oldest_wait_s": 1.0,
    }


async def test_rates_are_averages_over_ten_seconds(bench: Bench) -> None:
    await bench.clock.advance(20)
    await bench.orchestrator.rounds.submit([submission(number) for number in range(50)])
    await bench.clock.advance(5)
    assert (await stats(bench)).submitted_per_s == 5.0
    await bench.clock.advance(4)
    assert (await stats(bench)).submitted_per_s == 5.0
    await bench.clock.advance(3)
    assert (await stats(bench)).submitted_per_s == 0.0


async def test_an_empty_queue_has_nobody_waiting_and_no_duration_without_workers(bench: Bench) -> None:
    await bench.clock.advance(1)
    seen = await stats(bench)
    assert (seen.oldest_wait_s, seen.backlog_s, seen.submitted_per_s) == (0.0, None, 0.0)


async def test_asking_counts_nothing(bench: Bench) -> None:
    await bench.orchestrator.rounds.submit([submission(1)])
    assert (await stats(bench)).queued == 0
    await bench.clock.advance(1)
    assert (await stats(bench)).queued == 1


async def test_during_an_outage_the_last_look_is_shown_and_the_role_is_not_ready(bench: Bench) -> None:
    await bench.orchestrator.rounds.submit([submission(1)])
    await bench.clock.advance(1)
    assert (await bench.http.get("/readyz")).status_code == 200
    bench.store.away = True
    await bench.clock.advance(1)
    assert (await stats(bench)).queued == 1
    assert (await bench.http.get("/readyz")).status_code == 503
    assert (await bench.http.get("/livez")).status_code == 200
    bench.store.away = False
    await bench.clock.advance(1)
    assert (await bench.http.get("/readyz")).status_code == 200


async def test_the_fleet_names_its_bounds_its_workers_and_its_leader(bench: Bench) -> None:
    await bench.orchestrator.rounds.ask(ask("w"))
    await bench.clock.advance(1)
    fleet = (await bench.call("/internal/fleet", wire.FleetReply)).fleet
    assert (fleet.min, fleet.max, fleet.leader, fleet.decision) == (1, 4, URL, None)
    assert [worker.worker_id for worker in fleet.workers] == ["w"]


async def test_the_metrics_show_the_same(bench: Bench) -> None:
    await bench.orchestrator.rounds.submit([submission(1, total=101)])
    await bench.clock.advance(1)
    page = (await bench.http.get("/metrics")).text
    assert 'dynwork_jobs{state="queued"} 1.0' in page
    assert "dynwork_backlog_steps 100.0" in page
    assert "dynwork_backlog_seconds NaN" in page
    assert "dynwork_jobs_submitted_total 1.0" in page
    assert "dynwork_oldest_wait_seconds 1.0" in page
    assert job_id(1) not in page


async def test_a_store_that_can_be_read_but_not_written_is_not_ready(bench: Bench) -> None:
    def full(_round: Round) -> bool:
        raise StoreUnavailableError("the disk is full", retry_after_s=1)

    well, bench.store.poison = bench.store.poison, full
    with pytest.raises(StoreUnavailableError):
        await bench.orchestrator.rounds.submit([submission(1)])
    await bench.orchestrator.sampler.look()
    assert (await bench.http.get("/readyz")).status_code == 503
    bench.store.poison = well
    await bench.submit(1)
    assert (await bench.http.get("/readyz")).status_code == 200
