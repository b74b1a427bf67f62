"""Group commit: what waits shares one transaction, and everyone gets their own answer."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from dynwork.errors import DynworkError, NotFoundError, StoreUnavailableError, UnavailableError
from dynwork.orchestrator.core.job import Job
from dynwork.orchestrator.core.machine import Failed, Verdict
from dynwork.orchestrator.store.commands import Ask, Cancel, Held, Report, Round
from dynwork.testing.orchestrator import Bench, ask, job_id, running, submission


def with_job(number: int) -> Callable[[Round], bool]:
    """Poison every round that submits this job."""
    return lambda round_: any(one.job_id == job_id(number) for one in round_.submissions)


def sizes(bench: Bench) -> list[int]:
    return [len(round_.submissions) for round_ in bench.store.rounds]


def ids(answers: Sequence[Job | DynworkError]) -> list[str]:
    return [answer.job_id if isinstance(answer, Job) else answer.code for answer in answers]


async def test_an_idle_orchestrator_commits_at_once(bench: Bench) -> None:
    before = bench.clock.now()
    await bench.orchestrator.rounds.submit([submission(1)])
    assert bench.clock.now() == before
    assert sizes(bench) == [1]


async def test_what_waits_while_a_round_commits_shares_the_next_one(bench: Bench) -> None:
    bench.store.open_gate.clear()
    tasks = [bench.start(bench.orchestrator.rounds.submit([submission(0)]))]
    await bench.clock.settle()
    tasks += [bench.start(bench.orchestrator.rounds.submit([submission(n)])) for n in range(1, 201)]
    await bench.clock.settle()
    bench.store.open_gate.set()
    answers = await asyncio.gather(*tasks)
    assert sizes(bench) == [1, 200]
    assert [ids(answer) for answer in answers] == [[job_id(number)] for number in range(201)]


async def test_nobody_is_answered_before_the_commit(bench: Bench) -> None:
    bench.store.open_gate.clear()
    task = bench.start(bench.orchestrator.rounds.submit([submission(0)]))
    await bench.clock.settle()
    bench.start(bench.orchestrator.rounds.ask(ask("w")))
    await bench.clock.settle()
    assert not task.done()
    assert 'dynwork_round_waiting{kind="ask"} 1.0' in (await bench.http.get("/metrics")).text
    bench.store.open_gate.set()
    assert ids(await task) == [job_id(0)]


async def test_each_caller_gets_the_answers_to_its_own_batch(bench: Bench) -> None:
    rounds = bench.orchestrator.rounds
    bench.store.open_gate.clear()
    first = bench.start(rounds.submit([submission(9)]))
    await bench.clock.settle()
    batch = bench.start(rounds.submit([submission(3), submission(1), submission(2)]))
    other = bench.start(rounds.submit([submission(4)]))
    unknown = bench.start(_code(rounds.cancel(Cancel("local", job_id(77)))))
    asked = bench.start(rounds.ask(ask("w", lanes=2)))
    bench.store.open_gate.set()
    assert ids(await first) == [job_id(9)]
    assert ids(await batch) == [job_id(3), job_id(1), job_id(2)]
    assert ids(await other) == [job_id(4)]
    assert await unknown == NotFoundError.code
    assert len((await asked).grants) == 2
    assert len(bench.store.rounds) == 2


async def test_an_empty_batch_costs_no_round(bench: Bench) -> None:
    assert list(await bench.orchestrator.rounds.submit([])) == []
    assert bench.store.rounds == []


async def test_a_poisoned_item_fails_alone(bench: Bench) -> None:
    bench.store.poison = with_job(5)
    answers = await bench.orchestrator.rounds.submit([submission(number) for number in range(10)])
    assert ids(answers) == [job_id(n) if n != 5 else "internal" for n in range(10)]
    for number in range(10):
        assert (await bench.store.job("local", job_id(number)) is None) == (number == 5)


async def test_a_poisoned_item_does_not_touch_other_callers(bench: Bench) -> None:
    rounds = bench.orchestrator.rounds
    bench.store.poison = lambda round_: any(one.facts.worker_id == "bad" for one in round_.asks)
    bench.store.open_gate.clear()
    task = bench.start(rounds.submit([submission(1)]))
    await bench.clock.settle()
    bad, good = bench.start(_code(rounds.ask(ask("bad")))), bench.start(rounds.ask(ask("good")))
    bench.store.open_gate.set()
    await task
    assert await bad == "internal"
    assert [job.job_id for job in (await good).grants] == [job_id(1)]


async def test_finding_a_poisoned_item_takes_few_commits(bench: Bench) -> None:
    bench.store.poison = with_job(100)
    await bench.orchestrator.rounds.submit([submission(number) for number in range(256)])
    assert len(bench.store.rounds) == 1 + 2 * 8  # two for each halving of 256


async def test_while_the_store_is_away_all_of_a_round_fails_after_one_try(bench: Bench) -> None:
    rounds = bench.orchestrator.rounds
    bench.store.away = True
    bench.store.open_gate.clear()
    first = bench.start(_code(rounds.submit([submission(0)])))
    await bench.clock.settle()
    tasks = [bench.start(_code(rounds.submit([submission(n)]))) for n in range(1, 50)]
    tasks += [bench.start(_code(rounds.ask(ask("w"))))]
    await bench.clock.settle()
    bench.store.open_gate.set()
    assert {await task for task in [first, *tasks]} == {StoreUnavailableError.code}
    assert len(bench.store.rounds) == 2
    bench.store.away = False
    assert ids(await rounds.submit([submission(1)])) == [job_id(1)]


async def test_a_store_that_goes_away_while_a_bad_item_is_sought_is_not_tried_on(bench: Bench) -> None:
    def poison(_round: Round) -> bool:
        bench.store.away = True
        return True

    bench.store.poison = poison
    with pytest.raises(StoreUnavailableError):
        await bench.orchestrator.rounds.submit([submission(number) for number in range(64)])
    assert len(bench.store.rounds) == 2


async def test_a_caller_that_left_before_its_round_is_skipped(bench: Bench) -> None:
    rounds = bench.orchestrator.rounds
    bench.store.open_gate.clear()
    first = bench.start(rounds.submit([submission(1)]))
    await bench.clock.settle()
    leaver = bench.start(rounds.ask(ask("leaver")))
    stayer = bench.start(rounds.ask(ask("stayer")))
    await bench.clock.settle()
    leaver.cancel()
    await bench.clock.settle()
    bench.store.open_gate.set()
    await first
    assert [job.lease.worker_id for job in (await stayer).grants] == ["stayer"]
    assert [one.facts.worker_id for one in bench.store.rounds[1].asks] == ["stayer"]


async def test_a_caller_that_leaves_during_its_round_disturbs_nobody(bench: Bench) -> None:
    rounds = bench.orchestrator.rounds
    bench.store.open_gate.clear()
    leaver = bench.start(rounds.submit([submission(1)]))
    stayer = bench.start(rounds.submit([submission(2)]))
    await bench.clock.settle()
    leaver.cancel()
    await bench.clock.settle()
    bench.store.open_gate.set()
    assert ids(await stayer) == [job_id(2)]
    assert await bench.store.job("local", job_id(1)) is not None


async def test_a_report_that_the_store_cannot_take_is_an_error_in_its_place(bench: Bench) -> None:
    rounds = bench.orchestrator.rounds
    await rounds.submit([submission(1), submission(2)])
    grants = (await rounds.ask(ask("w", lanes=2))).grants
    bench.store.poison = lambda round_: any(one.held.job_id == job_id(1) for one in round_.reports)
    reports = [Report("w", "w-1", Held(job.job_id, job.lease.epoch), Failed("x", "broken")) for job in grants]
    answers = await rounds.report(reports)
    assert isinstance(answers[0], DynworkError)
    assert answers[1] is Verdict.ACCEPTED


async def test_whoever_waits_when_the_rounds_end_is_refused() -> None:
    async with running() as bench:
        bench.store.open_gate.clear()
        outcomes: list[asyncio.Task[str]] = []
        async with asyncio.TaskGroup() as callers:
            outcomes += [callers.create_task(_code(bench.orchestrator.rounds.submit([submission(1)])))]
            await bench.clock.settle()
            outcomes += [callers.create_task(_code(bench.orchestrator.rounds.submit([submission(2)])))]
            await bench.clock.settle()
            for helper in bench.helpers:
                helper.cancel()
    assert [task.result() for task in outcomes] == [UnavailableError.code] * 2


async def test_one_ask_may_not_fill_a_round_with_lanes(bench: Bench) -> None:
    asks: list[Ask] = [ask(f"w{number}", lanes=1000) for number in range(4)]
    bench.store.open_gate.clear()
    first = bench.start(bench.orchestrator.rounds.submit([submission(1)]))
    await bench.clock.settle()
    tasks = [bench.start(bench.orchestrator.rounds.ask(one)) for one in asks]
    await bench.clock.settle()
    bench.store.open_gate.set()
    await asyncio.gather(first, *tasks)
    assert [len(round_.asks) for round_ in bench.store.rounds] == [0, 1, 1, 1, 1]


async def _code(outcome: Awaitable[object]) -> str:
    """Return the code of the error that ``outcome`` raises."""
    with pytest.raises(DynworkError) as raised:
        await outcome
    return raised.value.code
