"""Callers of several orchestrators: they spread over all, move on at once and come back."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from dynwork import wire
from dynwork.errors import NoOrchestratorError
from dynwork.orchestrator.registry import TTL_S
from dynwork.orchestrators import PREFER_S, Orchestrators
from dynwork.testing.council import Council, council
from dynwork.testing.orchestrator import OWNER, job_id, lease_message

CALLERS = 4
BOTH = {"a": CALLERS / 2, "b": CALLERS / 2}
SHORT_S = 1.0
"""How long a caller waits for one that stands still: real time, for no virtual clock bounds a call."""


def callers(them: Council) -> list[Orchestrators]:
    """Return callers that were told of ``a`` only, and whose draws are spread evenly."""
    return [them.caller("a", uniform=partial(float, number / CALLERS)) for number in range(CALLERS)]


async def answered(them: Council, asking: list[Orchestrators], path: str = "/internal/stats") -> dict[str, int]:
    """Let each caller ask once, in vain never; return who answered how often."""
    them.answered.clear()
    for caller in asking:
        await caller.call("GET", path, wire.Reply, timeout_s=SHORT_S)
    return dict(them.answered)


async def spread(them: Council) -> list[Orchestrators]:
    """Return callers half of which prefer ``a`` just now, and half ``b``: they learned of it from the first reply."""
    await them.clock.advance(TTL_S / 3)
    asking = callers(them)
    assert await answered(them, asking) == {"a": CALLERS}
    await them.clock.advance(PREFER_S)
    assert await answered(them, asking) == BOTH
    return asking


async def test_callers_that_were_told_of_one_spread_over_all() -> None:
    async with council("a", "b") as them:
        await spread(them)


async def test_callers_move_on_at_once_from_one_that_was_killed_and_come_back_when_it_is_there_again() -> None:
    async with council("a", "b") as them:
        asking = await spread(them)
        them.kill("b")
        assert await answered(them, asking) == {"a": CALLERS}
        await them.start("b")
        await them.clock.advance(PREFER_S)
        assert await answered(them, asking) == BOTH


async def test_callers_move_on_from_one_that_stands_still_and_come_back_when_it_runs_again() -> None:
    async with council("a", "b") as them:
        asking = await spread(them)
        them.pause("b")
        assert await answered(them, asking) == {"a": CALLERS}
        assert await answered(them, asking) == {"a": CALLERS}
        them.resume("b")
        await them.clock.advance(PREFER_S)
        assert await answered(them, asking) == BOTH


async def test_callers_move_on_from_one_that_cannot_reach_the_store() -> None:
    async with council("a", "b") as them:
        asking = await spread(them)
        them.cut("a")
        assert await answered(them, asking, f"/internal/completed?owner={OWNER}") == {"a": CALLERS / 2, "b": CALLERS}
        assert await answered(them, asking, f"/internal/completed?owner={OWNER}") == {"b": CALLERS}


async def test_an_ask_parked_at_one_that_is_killed_is_parked_at_another_at_once() -> None:
    async with council("a", "b") as them:
        await them.clock.advance(TTL_S / 3)
        caller = them.caller("a", "b")
        body = lease_message("w", wait_s=20)
        parked = asyncio.create_task(caller.call("POST", "/internal/lease", wire.LeaseReply, body=body, timeout_s=1000))
        await them.clock.settle()
        them.kill("a")
        await them.clock.settle()
        await them.submit("b", 1)
        assert [grant.job_id for grant in (await parked).grants] == [job_id(1)]


async def test_when_all_are_gone_callers_are_told_so() -> None:
    async with council("a", "b") as them:
        asking = callers(them)
        them.kill("a")
        them.kill("b")
        with pytest.raises(NoOrchestratorError):
            await answered(them, asking)
