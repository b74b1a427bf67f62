"""Work that comes in at one orchestrator and workers that wait at another."""

from __future__ import annotations

import asyncio

from dynwork.orchestrator.registry import TTL_S
from dynwork.testing.council import Council, council
from dynwork.testing.orchestrator import job_id


def announcements(them: Council) -> int:
    return sum(seat.connection.calls.count("announce") for seat in them.seats.values())


async def test_work_submitted_at_one_wakes_an_ask_parked_at_another_at_once() -> None:
    async with council("a", "b") as them:
        await them.clock.advance(TTL_S / 3)
        parked = asyncio.create_task(them.lease("b", "w", wait_s=20))
        await them.clock.settle()
        before = them.clock.now()
        await them.submit("a", 1)
        await them.clock.settle()
        assert [grant.job_id for grant in parked.result().grants] == [job_id(1)]
        assert them.clock.now() == before


async def test_work_that_the_own_parked_asks_take_is_not_announced() -> None:
    async with council("a", "b") as them:
        await them.clock.advance(TTL_S / 3)
        parked = asyncio.create_task(them.lease("a", "w", wait_s=20))
        await them.clock.settle()
        await them.submit("a", 1)
        await them.clock.advance(1)
        assert parked.result().grants
        assert announcements(them) == 0


async def test_many_rounds_together_are_announced_once() -> None:
    async with council("a", "b") as them:
        await them.clock.advance(TTL_S / 3)
        for number in range(20):
            await them.submit("a", number)
        await them.clock.advance(1)
        assert 1 <= announcements(them) <= 2


async def test_one_that_is_alone_announces_nothing() -> None:
    async with council("a") as them:
        await them.submit("a", 1)
        await them.clock.advance(1)
        assert announcements(them) == 0


async def test_an_announcement_that_is_lost_costs_a_second() -> None:
    async with council("a", "b") as them:
        await them.clock.advance(TTL_S / 3)
        parked = asyncio.create_task(them.lease("b", "w", wait_s=20))
        await them.clock.settle()
        them.cut("b")
        await them.submit("a", 1)
        them.mend("b")
        await them.clock.settle()
        assert not parked.done()
        await them.clock.advance(1.1)
        assert parked.result().grants
