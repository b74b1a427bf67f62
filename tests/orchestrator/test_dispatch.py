"""Asks for work: parked until there is some, woken at once, and never given what nobody takes."""

import asyncio
from dataclasses import replace

import pytest

from dynwork.errors import ClientGoneError, StoreUnavailableError
from dynwork.orchestrator.core.instance import Launched, intent
from dynwork.orchestrator.core.machine import Completed, Failed
from dynwork.orchestrator.core.worker import WorkerFacts
from dynwork.orchestrator.store.commands import Ask, Grant, Held, Report
from dynwork.testing.orchestrator import Bench, ask, job_id, running, submission


async def never() -> None:
    await asyncio.Event().wait()


def parked(bench: Bench, one: Ask, wait_s: float = 20, gone: asyncio.Event | None = None) -> "asyncio.Task[Grant]":
    async def leave() -> None:
        await (gone or asyncio.Event()).wait()

    return bench.start(bench.orchestrator.dispatch.lease(one, wait_s, leave))


async def submit(bench: Bench, *numbers: int, kind: str = "sha512-chain") -> None:
    await bench.orchestrator.rounds.submit([submission(number, kind=kind) for number in numbers])


def got(task: "asyncio.Task[Grant]") -> list[str]:
    return [job.job_id for job in task.result().grants]


def asks(bench: Bench) -> list[str]:
    return [one.facts.worker_id for round_ in bench.store.rounds for one in round_.asks]


async def test_work_that_is_there_is_given_at_once(bench: Bench) -> None:
    await submit(bench, 1)
    grant = await bench.orchestrator.dispatch.lease(ask("w"), 20, never)
    assert [job.job_id for job in grant.grants] == [job_id(1)]


async def test_a_parked_ask_wakes_when_work_arrives_without_time_passing(bench: Bench) -> None:
    task = parked(bench, ask("w"))
    await bench.clock.settle()
    assert not task.done()
    before = bench.clock.now()
    await submit(bench, 1)
    await bench.clock.settle()
    assert got(task) == [job_id(1)]
    assert bench.clock.now() == before


async def test_a_parked_ask_is_answered_with_nothing_at_its_deadline(bench: Bench) -> None:
    task = parked(bench, ask("w"), wait_s=5)
    await bench.clock.advance(4.9)
    assert not task.done()
    await bench.clock.advance(0.2)
    assert task.result() == Grant()


async def test_nobody_is_parked_for_longer_than_the_setting_allows() -> None:
    async with running(poll_wait_s_max=2) as bench:
        task = parked(bench, ask("w"), wait_s=60)
        await bench.clock.advance(2.1)
        assert task.result() == Grant()


async def test_without_a_wait_nobody_is_parked(bench: Bench) -> None:
    assert await bench.orchestrator.dispatch.lease(ask("w"), 0, never) == Grant()


async def test_asks_that_wait_in_vain_cost_one_round_each_not_one_a_second(bench: Bench) -> None:
    task = parked(bench, ask("w"))
    await bench.clock.advance(15)
    assert asks(bench) == ["w"]
    assert not task.done()


async def test_a_nudge_wakes_as_many_as_there_are_jobs_the_latest_first(bench: Bench) -> None:
    tasks = {}
    for name in "abcd":
        tasks[name] = parked(bench, ask(name))
        await bench.clock.settle()
    bench.store.rounds.clear()
    await submit(bench, 1, 2)
    await bench.clock.settle()
    assert {name for name, task in tasks.items() if task.done()} == {"c", "d"}
    assert sorted(asks(bench)) == ["c", "d"]


async def test_a_delayed_job_is_given_out_when_it_is_due() -> None:
    async with running(retry_backoff_s=0.4) as bench:
        await submit(bench, 1)
        (job,) = (await bench.orchestrator.dispatch.lease(ask("w"), 0, never)).grants
        task = parked(bench, ask("w", holding=(Held(job.job_id, 1),)))
        await bench.clock.advance(0.35)  # the watcher would look again at 1.0
        failure = Failed("x", "broken", 0.5)
        await bench.orchestrator.rounds.report([Report("w", "w-1", Held(job.job_id, 1), failure)])
        await bench.clock.advance(0.29)  # it is due after 0.4 * (0.5 + 0.5/2) = 0.3 s
        assert not task.done()
        await bench.clock.advance(0.02)
        assert got(task) == [job_id(1)]


async def test_a_worker_whose_lanes_were_full_looks_again_after_its_own_report(bench: Bench) -> None:
    await submit(bench, 1, 2)
    (job,) = (await bench.orchestrator.dispatch.lease(ask("w"), 0, never)).grants
    task = parked(bench, ask("w", holding=(Held(job.job_id, 1),)))
    await bench.clock.settle()
    assert not task.done()
    before = bench.clock.now()
    await bench.orchestrator.rounds.report([Report("w", "w-1", Held(job.job_id, 1), Completed(b"x", 100))])
    await bench.clock.settle()
    assert got(task) == [job_id(2)]
    assert bench.clock.now() == before


async def test_a_stop_answers_everyone_parked_at_once_with_nothing(bench: Bench) -> None:
    tasks = [parked(bench, ask(name)) for name in "abc"]
    await bench.clock.settle()
    bench.stop.set()
    await bench.clock.settle()
    assert [task.result() for task in tasks] == [Grant()] * 3


async def test_after_a_stop_nobody_is_given_work_any_more(bench: Bench) -> None:
    await submit(bench, 1)
    bench.stop.set()
    await bench.clock.settle()
    assert await bench.orchestrator.dispatch.lease(ask("w"), 20, never) == Grant()


async def test_a_parked_worker_that_is_to_go_is_told_to_drain(bench: Bench) -> None:
    store, now = bench.store, bench.clock.now()
    epoch = await store.lead("scaler", now + 60, 60) or 0
    await store.intend(epoch, intent("i1", now), 4)
    await store.instance_event(epoch, "i1", Launched("p1"), now)
    one = ask("w")
    task = parked(bench, replace(one, facts=replace(one.facts, instance_id="i1")))
    await bench.clock.settle()
    assert await store.drain_if_idle(epoch, "i1", "idle", now)
    await bench.clock.advance(1.1)
    assert task.result() == Grant(drain=True)


async def test_an_ask_whose_client_went_while_parked_takes_no_lease(bench: Bench) -> None:
    gone = asyncio.Event()
    task = parked(bench, ask("leaver"), gone=gone)
    await bench.clock.settle()
    gone.set()
    await bench.clock.settle()
    assert isinstance(task.exception(), ClientGoneError)
    other = parked(bench, ask("stayer"))
    await submit(bench, 1)
    await bench.clock.settle()
    assert got(other) == [job_id(1)]


async def test_an_ask_whose_client_went_while_it_waited_for_its_round_takes_no_lease(bench: Bench) -> None:
    await submit(bench, 1)
    bench.store.open_gate.clear()
    blocker = bench.start(bench.orchestrator.rounds.submit([submission(2, total=1)]))
    await bench.clock.settle()
    gone = asyncio.Event()
    task = parked(bench, ask("leaver"), gone=gone)
    await bench.clock.settle()
    gone.set()
    await bench.clock.settle()
    bench.store.open_gate.set()
    await blocker
    await bench.clock.settle()
    assert isinstance(task.exception(), ClientGoneError)
    job = await bench.store.job("local", job_id(1))
    assert job is not None
    assert (job.state, job.lease.epoch) == ("queued", 0)


async def test_a_wake_for_one_who_has_gone_goes_to_the_next(bench: Bench) -> None:
    gone = asyncio.Event()
    stayer = parked(bench, ask("stayer"))
    await bench.clock.settle()
    parked(bench, ask("leaver"), gone=gone)
    await bench.clock.settle()
    gone.set()
    bench.orchestrator.wakes.nudge(1)
    await submit(bench, 1)
    await bench.clock.settle()
    assert got(stayer) == [job_id(1)]


async def test_a_second_ask_of_a_worker_takes_the_place_of_the_first(bench: Bench) -> None:
    first, second = parked(bench, ask("w")), parked(bench, ask("w"))
    await bench.clock.settle()
    assert first.result() == Grant()
    await submit(bench, 1)
    await bench.clock.settle()
    assert got(second) == [job_id(1)]


async def test_work_that_the_latest_cannot_do_reaches_one_who_can(bench: Bench) -> None:
    knows = parked(bench, ask("knows", kinds=("rare",)))
    await bench.clock.settle()
    parked(bench, ask("does-not", kinds=("sha512-chain",)))
    await bench.clock.settle()
    await submit(bench, 1, kind="rare")
    await bench.clock.advance(2.1)
    assert got(knows) == [job_id(1)]


async def test_an_ask_for_kinds_of_which_none_is_queued_is_parked_whatever_else_is(bench: Bench) -> None:
    await submit(bench, 1, 2)
    task = parked(bench, ask("w", kinds=("rare", "rarer")))
    await bench.clock.advance(10)
    assert not task.done()
    assert len(asks(bench)) <= 12, "its own look, then one a second at most while other work waits"
    await submit(bench, 3, kind="rare")
    await bench.clock.settle()
    assert got(task) == [job_id(3)]


async def test_work_that_nobody_announced_is_found_within_a_second(bench: Bench) -> None:
    task = parked(bench, ask("w"))
    await bench.clock.settle()
    quiet = replace(submission(1))
    await bench.store.commit(replace(bench.store.rounds[0], asks=(), submissions=(quiet,)), bench.clock.now())
    await bench.clock.advance(1.1)
    assert got(task) == [job_id(1)]


async def test_an_ask_fails_at_once_while_the_store_is_away(bench: Bench) -> None:
    bench.store.away = True
    with pytest.raises(StoreUnavailableError):
        await bench.orchestrator.dispatch.lease(ask("w"), 20, never)


async def test_the_watcher_outlives_an_outage_of_the_store(bench: Bench) -> None:
    task = parked(bench, ask("w"))
    await bench.clock.settle()
    bench.store.away = True
    await bench.clock.advance(3)
    bench.store.away = False
    await bench.store.commit(replace(bench.store.rounds[0], asks=(), submissions=(submission(1),)), bench.clock.now())
    await bench.clock.advance(1.1)
    assert got(task) == [job_id(1)]


async def test_a_worker_that_is_parked_counts_as_such(bench: Bench) -> None:
    facts = WorkerFacts("w", "w-1", ask("w").facts.paces)
    task = parked(bench, Ask(facts), wait_s=1)
    await bench.clock.settle()
    assert "dynwork_asks_parked 1.0" in (await bench.http.get("/metrics")).text
    await bench.clock.advance(1.1)
    assert task.done()
    assert "dynwork_asks_parked 0.0" in (await bench.http.get("/metrics")).text
