"""Two orchestrators over one database: what they do at the same moment comes out as if one did it after the other."""

from __future__ import annotations

import asyncio
from collections import Counter

import asyncpg
import pytest

from dynwork.errors import DynworkError, KeyReusedError, StaleLeaderError
from dynwork.orchestrator.core.instance import Launched, intent
from dynwork.orchestrator.core.job import Job, JobState
from dynwork.orchestrator.core.machine import Verdict
from dynwork.orchestrator.core.worker import Pace
from dynwork.orchestrator.store.commands import Round
from dynwork.orchestrator.store.values import Rules
from dynwork.testing.postgres import Opened
from dynwork.testing.store_driver import OWNER, StoreDriver, ask, completed, expect_job, lease_name, name_of, submission

TIMES = 10
"""How often a race is run: which of two comes first is the scheduler's choice."""


@pytest.fixture
async def both(opened: Opened) -> tuple[StoreDriver, StoreDriver]:
    return StoreDriver(await opened()), StoreDriver(await opened())


async def test_the_same_job_submitted_through_both_is_one_job(both: tuple[StoreDriver, StoreDriver]) -> None:
    first, second = both
    for n in range(1, TIMES + 1):
        one, other = await asyncio.gather(first.submit(f"j{n}", key=f"k{n}"), second.submit(f"j{n}", key=f"k{n}"))
        assert one == other
    assert (await first.store.totals()).submitted == TIMES
    assert await first.store.check() == []


async def test_one_key_for_two_jobs_at_once_is_the_first_s(both: tuple[StoreDriver, StoreDriver]) -> None:
    """Batches that name the same keys in opposite order do not stop each other for good."""
    names = [f"j{n}" for n in range(1, TIMES + 1)]
    forth = [submission(name, key=f"k{name}") for name in names]
    back = [submission(f"j{int(name[1:]) + 1000}", key=f"k{name}", steps=7) for name in reversed(names)]
    one, other = await asyncio.gather(both[0].commit(Round(submissions=forth)), both[1].commit(Round(submissions=back)))
    answers: list[Job | DynworkError] = [*one.submissions, *other.submissions]
    refused = [answer for answer in answers if isinstance(answer, KeyReusedError)]
    assert len(refused) == TIMES
    assert len({answer.key for answer in answers if isinstance(answer, Job)}) == TIMES
    assert (await both[0].store.totals()).submitted == TIMES


async def test_a_dead_job_requeued_through_both_has_one_successor(both: tuple[StoreDriver, StoreDriver]) -> None:
    for n in range(1, TIMES + 1):
        dead = f"j{n}"
        await both[0].submit(dead, priority=9)
        await both[0].die(dead)
        one, other = await asyncio.gather(
            *(drive.requeue(dead, f"j{100 * side + n}") for side, drive in enumerate(both, start=1))
        )
        assert one == other
        await both[0].cancel(name_of(expect_job(one)))
    assert (await both[0].store.totals()).submitted == 2 * TIMES
    assert await both[0].store.check() == []


async def test_no_job_is_given_out_twice(both: tuple[StoreDriver, StoreDriver]) -> None:
    await both[0].commit(Round(submissions=[submission(f"j{n}") for n in range(1, 21)]))
    grants = await asyncio.gather(
        *(both[n % 2].commit(Round(asks=[ask(f"w{n}", pace=Pace(100.0, 50.0, 2))])) for n in range(1, 7))
    )
    given = [lease_name(job) for receipt in grants for job in receipt.grants[0].grants]
    assert len(set(given)) == len(given) > 0
    assert (await both[0].store.totals()).leased == len(given)
    assert await both[0].store.check() == []


async def test_the_feed_has_no_gap_for_a_reader_that_follows_it(both: tuple[StoreDriver, StoreDriver]) -> None:
    """Positions appear in their order, although transactions end in any."""
    cursor: int | None = None
    seen: list[str] = []
    done = asyncio.Event()

    async def produce(drive: StoreDriver, first: int) -> None:
        for n in range(first, first + 40, 2):
            await drive.submit(f"j{n}", steps=1)

    async def follow() -> None:
        nonlocal cursor
        while True:
            last_look = done.is_set()
            page = await both[0].store.feed(OWNER, cursor, 7)
            seen.extend(name_of(job) for job in page.jobs)
            assert page.next == len(seen)
            cursor = page.next
            if last_look and not page.jobs:
                return

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(follow())
        await asyncio.gather(produce(both[0], 1), produce(both[1], 2))
        done.set()
    assert Counter(seen) == Counter(f"j{n}" for n in range(1, 41))


async def test_a_report_that_arrives_at_both_counts_once(both: tuple[StoreDriver, StoreDriver]) -> None:
    for n in range(1, TIMES + 1):
        await both[0].submit(f"j{n}")
        await both[0].lease("w1")
        verdicts = await asyncio.gather(*(drive.complete("w1", f"j{n}#1") for drive in both))
        assert verdicts == [Verdict.ACCEPTED, Verdict.ACCEPTED]
    assert (await both[0].store.totals()).completed == TIMES
    assert (await both[0].store.feed(OWNER, None, 100)).next == TIMES


async def test_a_job_that_is_cancelled_while_it_completes_ends_once(both: tuple[StoreDriver, StoreDriver]) -> None:
    for n in range(1, TIMES + 1):
        await both[0].submit(f"j{n}")
        await both[0].lease("w1")
        verdict, answer = await asyncio.gather(both[0].complete("w1", f"j{n}#1"), both[1].cancel(f"j{n}"))
        job = await both[0].job(f"j{n}")
        assert (verdict is Verdict.ACCEPTED) == (job.state is JobState.SUCCEEDED)
        assert isinstance(answer, Job) == (job.state is JobState.CANCELLED)
    assert await both[0].store.check() == []


async def test_a_worker_is_either_drained_or_given_work(both: tuple[StoreDriver, StoreDriver]) -> None:
    """Invariant 7: claim and drain meet at the worker's row."""
    epoch = await both[0].store.lead("a", both[0].now, 10.0) or 0
    for n in range(1, TIMES + 1):
        instance, worker = f"i{n}", f"w{n}"
        await both[0].store.intend(epoch, intent(instance, both[0].now), 100)
        await both[0].store.instance_event(epoch, instance, Launched("p"), both[0].now)
        await both[0].lease(worker, instance_id=instance)
        await both[0].submit(f"j{n}")
        drained, given = await asyncio.gather(
            both[0].store.drain_if_idle(epoch, instance, "idle", both[0].now),
            both[1].ask(worker, instance_id=instance),
        )
        assert drained != bool(given.grants)
        assert drained == given.drain
        await both[0].cancel(f"j{n}")


async def test_two_that_want_to_lead_do_not_both(both: tuple[StoreDriver, StoreDriver]) -> None:
    for n in range(TIMES):
        now = both[0].now + 100 * n
        epochs = await asyncio.gather(both[0].store.lead(f"a{n}", now, 10.0), both[1].store.lead(f"b{n}", now, 10.0))
        assert sorted(epoch or 0 for epoch in epochs) == [0, n + 1]


async def test_an_act_of_a_leader_that_was_replaced_meanwhile_changes_nothing(
    both: tuple[StoreDriver, StoreDriver], url: str
) -> None:
    """It waits for the leadership's row while the other takes over, and then sees who leads."""
    old, new = both
    assert await old.store.lead("a", old.now, 10.0) == 1
    await old.submit("j1")
    await old.lease("w1")
    taking_over = await asyncpg.connect(url)
    async with taking_over.transaction():
        await taking_over.execute("UPDATE leadership SET holder = 'b', epoch = epoch + 1, until = until + 60")
        late = asyncio.ensure_future(old.store.expire(1, old.now + 60, 100))
        while not await taking_over.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            pass
    with pytest.raises(StaleLeaderError):
        await late
    await taking_over.close()
    assert await new.state("j1") is JobState.LEASED


async def test_what_one_has_locked_another_passes_over_when_it_claims(
    both: tuple[StoreDriver, StoreDriver], url: str
) -> None:
    await both[0].submit("j1", priority=9)
    await both[0].submit("j2")
    other = await asyncpg.connect(url)
    async with other.transaction():
        await other.execute("SELECT * FROM job WHERE priority = 9 FOR UPDATE")
        assert await both[0].lease("w1") == "j2#1"
    await other.close()


async def test_what_a_claim_did_not_take_is_there_for_others_before_it_is_over(
    both: tuple[StoreDriver, StoreDriver], url: str
) -> None:
    """The claim stands still before it enters its totals: what it has locked by then, it has taken."""
    for n in (1, 2, 3):
        await both[0].submit(f"j{n}")
    holding = await asyncpg.connect(url)
    async with holding.transaction():
        await holding.execute("SELECT * FROM tally FOR UPDATE")
        late = asyncio.ensure_future(both[0].lease("w1"))
        while not await holding.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            pass
        free = await holding.fetch("SELECT job_id FROM job WHERE state = 'queued' FOR UPDATE SKIP LOCKED")
    assert (await late, len(free)) == ("j1#1", 2)
    await holding.close()


async def test_totals_are_the_sum_of_what_each_counted(both: tuple[StoreDriver, StoreDriver]) -> None:
    async def live(drive: StoreDriver, worker: str, first: int) -> None:
        for n in range(first, first + 20, 2):
            await drive.submit(f"j{n}")
            given = await drive.ask(worker)
            reports = [completed(worker, f"{lease_name(job)}@{job.chain.total}") for job in given.grants]
            ended.append((await drive.commit(Round(reports=reports))).ended)

    ended: list[int] = []
    await asyncio.gather(live(both[0], "w1", 1), live(both[1], "w2", 2))
    totals = [await drive.store.totals() for drive in both]
    assert totals[0] == totals[1]
    assert (totals[0].submitted, totals[0].completed) == (20, sum(ended))
    assert await both[0].store.check() == []


async def test_all_have_one_clock(both: tuple[StoreDriver, StoreDriver]) -> None:
    times = [await drive.store.time() for drive in (*both, *both)]
    assert times == sorted(time for time in times if time is not None)
    assert len(set(times)) == len(times), "each look sees a later moment"


async def test_rounds_larger_than_one_statement_are_one_transaction(opened: Opened) -> None:
    drive = StoreDriver(await opened(Rules()))
    names = [f"j{n}" for n in range(1, 2001)]
    receipt = await drive.commit(Round(submissions=[submission(name, key=name) for name in names]))
    assert receipt.claimable == len(names)
    again = await drive.commit(Round(submissions=[submission(name, key=name) for name in names]))
    assert list(again.submissions) == list(receipt.submissions)
    assert (await drive.store.totals()).queued == len(names)
