"""Following the tail of the feed: told at once of what ends here or elsewhere, and within a second in any case."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from dynwork import wire
from dynwork.orchestrator.registry import TTL_S
from dynwork.testing.council import Council, council
from dynwork.testing.orchestrator import OWNER, Bench, job_id, running


async def tail(bench: Bench, after: int | None = None, wait_s: float = 0) -> wire.TailReply:
    query = f"wait_s={wait_s}" if after is None else f"after={after}&wait_s={wait_s}"
    return await bench.call(f"/internal/tail?{query}", wire.TailReply)


async def tail_of(them: Council, name: str, after: int) -> wire.TailReply:
    response = await them.http.get(f"{them.urls[name]}/internal/tail?after={after}&wait_s=20", timeout=None)
    return wire.TailReply.model_validate_json(response.content)


def ended(reply: wire.TailReply) -> list[str]:
    return [one.job_id for one in reply.ended]


async def test_without_a_position_it_says_at_once_where_the_tail_is(bench: Bench) -> None:
    await bench.submit(1, 2, total=1)
    reply = await tail(bench, wait_s=20)
    assert (reply.next, reply.ended) == (2, [])


async def test_what_ended_since_is_told_with_its_owner_and_at_once(bench: Bench) -> None:
    await bench.submit(1, 2, total=1)
    reply = await tail(bench, after=0, wait_s=20)
    assert reply.ended == [wire.EndedRef(job_id=job_id(n), owner=OWNER) for n in (1, 2)]
    assert reply.next == 2


async def test_a_parked_follower_is_told_the_moment_something_ends(bench: Bench) -> None:
    parked = bench.start(tail(bench, after=0, wait_s=20))
    await bench.clock.settle()
    assert not parked.done()
    before = bench.clock.now()
    await bench.submit(1, total=1)
    await bench.clock.settle()
    assert ended(parked.result()) == [job_id(1)]
    assert bench.clock.now() == before


async def test_a_cancellation_and_a_job_that_dies_of_lost_workers_are_told_as_well() -> None:
    async with running(losses_max=0) as bench:
        await bench.submit(1, 2)
        await bench.lease("w")
        parked = bench.start(tail(bench, after=0, wait_s=20))
        await bench.clock.settle()
        await bench.http.post(f"/internal/jobs/{job_id(2)}/cancel")
        assert ended(await parked) == [job_id(2)]
        parked = bench.start(tail(bench, after=1, wait_s=20))
        await bench.clock.settle()
        before = bench.clock.now()
        await bench.orchestrator.sweep.worker_gone("w")
        await bench.clock.settle()
        assert ended(parked.result()) == [job_id(1)]
        assert bench.clock.now() == before


async def test_when_nothing_ends_the_answer_comes_when_the_time_is_up(bench: Bench) -> None:
    parked = bench.start(tail(bench, after=0, wait_s=2.5))
    await bench.clock.advance(2.4)
    assert not parked.done()
    await bench.clock.advance(0.2)
    assert (parked.result().next, parked.result().ended) == (0, [])


async def test_a_job_that_does_not_end_wakes_nobody_in_vain(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    look = bench.store.tail

    async def counted(after: int | None, limit: int) -> object:
        looks.append(after)
        return await look(after, limit)

    monkeypatch.setattr(bench.store, "tail", counted)
    bench.start(tail(bench, after=0, wait_s=20))
    await bench.clock.settle()
    await bench.submit(1)
    await bench.clock.settle()
    assert len(looks) == 1


async def test_a_stop_answers_the_parked(bench: Bench) -> None:
    parked = bench.start(tail(bench, after=0, wait_s=20))
    await bench.clock.settle()
    bench.stop.set()
    await bench.clock.settle()
    assert parked.result().ended == []


@pytest.mark.parametrize("after", [0, 3])
async def test_a_position_that_was_retired_or_never_was_is_gone(after: int) -> None:
    async with running(retention_s=10) as bench:
        await bench.submit(1, total=1)
        await bench.clock.advance(12)
        answer = await bench.http.get(f"/internal/tail?after={after}&wait_s=20")
        assert (answer.status_code, answer.json()["code"]) == (410, "cursor_expired")


# --- several orchestrators -------------------------------------------------------------------------------------------
async def test_what_ends_at_one_is_told_to_who_follows_another_at_once() -> None:
    async with council("a", "b") as them:
        await them.clock.advance(TTL_S / 3)
        parked = asyncio.create_task(tail_of(them, "b", after=0))
        await them.clock.settle()
        before = them.clock.now()
        await them.submit("a", 1, total=1)
        await them.clock.settle()
        assert ended(parked.result()) == [job_id(1)]
        assert them.clock.now() == before


async def test_many_ends_together_are_announced_once() -> None:
    async with council("a", "b") as them:
        await them.clock.advance(TTL_S / 3)
        for number in range(20):
            await them.submit("a", number, total=1)
        await them.clock.advance(1)
        assert 1 <= them.seats["a"].connection.calls.count("announce") <= 2


async def test_an_announcement_that_is_lost_costs_a_second() -> None:
    async with council("a", "b") as them:
        await them.clock.advance(TTL_S / 3)
        parked = asyncio.create_task(tail_of(them, "b", after=0))
        await them.clock.settle()
        them.cut("b")
        await them.submit("a", 1, total=1)
        them.mend("b")
        await them.clock.settle()
        assert not parked.done()
        await them.clock.advance(1.1)
        assert ended(parked.result()) == [job_id(1)]


async def test_a_follower_is_told_when_the_store_is_away() -> None:
    async with council("a") as them:
        parked = asyncio.create_task(_raw(them, "a"))
        await them.clock.settle()
        them.cut("a")
        await them.clock.advance(1.1)
        assert parked.result().status_code == 503


async def _raw(them: Council, name: str) -> httpx.Response:
    return await them.http.get(f"{them.urls[name]}/internal/tail?after=0&wait_s=20", timeout=None)
