"""A worker and two orchestrators, one of which is hurt: its work goes on, and is neither lost nor done twice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from dynwork.orchestrator.core.job import Job
from dynwork.testing.council import Council, council
from dynwork.testing.one_worker import one_worker
from dynwork.testing.orchestrator import OWNER, job_id, submission

LEASE_S = 9.0
HELD_S = 10
"""A job of the test takes this long, seconds."""
STEPS = HELD_S * 1000
HURTS = {"killed": Council.kill, "cut off from the store": Council.cut}
hurts = pytest.mark.parametrize("hurt", HURTS.values(), ids=HURTS.keys())


async def job(them: Council, number: int) -> Job:
    found = await them.store.job(OWNER, job_id(number))
    assert found is not None
    return found


def chain(number: int, total: int) -> bytes:
    state = submission(number).chain.state
    for _ in range(total - 1):
        state = hashlib.sha512(state).digest()
    return state


def asked(them: Council) -> str:
    """Return whom the worker asks: it has answered most."""
    return them.answered.most_common(1)[0][0]


@hurts
async def test_a_chain_goes_on_when_the_orchestrator_that_leased_it_is_hurt(
    hurt: Callable[[Council, str], None],
) -> None:
    async with council("a", "b") as them, one_worker(them.clock, them):
        await them.submit("b", 1, total=STEPS)
        await them.clock.advance(HELD_S / 2)
        assert (await job(them, 1)).state == "leased"
        hurt(them, asked(them))
        await them.clock.advance(HELD_S)
        done = await job(them, 1)
        assert (done.state, done.chain.state) == ("succeeded", chain(1, STEPS))
        assert (done.lease.epoch, done.losses, done.attempts) == (1, 0, 0)


@hurts
async def test_an_idle_worker_has_new_work_at_once_although_its_orchestrator_is_hurt(
    hurt: Callable[[Council, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dynwork.orchestrators.LINGER_S", 0.0)  # real time, of which none passes here
    async with council("a", "b") as them, one_worker(them.clock, them):
        await them.clock.advance(5)
        hurt_one = asked(them)
        hurt(them, hurt_one)
        await them.clock.advance(3)
        (other,) = them.seats.keys() - {hurt_one}
        await them.submit(other, 1)
        await them.clock.advance(0.5)
        assert (await job(them, 1)).state == "succeeded"


async def test_nobody_loses_a_lease_while_orchestrators_are_killed_in_turn() -> None:
    async with council("a", "b") as them, one_worker(them.clock, them):
        await them.submit("a", *range(8), total=STEPS)
        for number in range(8):
            name = "ab"[number % 2]
            them.kill(name)
            await them.clock.advance(2 * LEASE_S / 3)
            await them.start(name)
        await them.clock.advance(4 * HELD_S)
        for number in range(8):
            done = await job(them, number)
            assert (done.state, done.chain.state) == ("succeeded", chain(number, STEPS))
            assert (done.lease.epoch, done.losses) == (1, 0)
