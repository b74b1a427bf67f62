"""Several orchestrators over one store: who names whom, who leads, and that none of them can do harm."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from dynwork import wire
from dynwork.errors import NoOrchestratorError, StaleLeaderError
from dynwork.orchestrator.leader import TTL_S as LEADER_TTL_S
from dynwork.orchestrator.registry import TTL_S
from dynwork.orchestrators import PREFER_S, Orchestrators
from dynwork.testing.council import Council, council
from dynwork.testing.orchestrator import OWNER, job_id, lease_message

LEASE_S = 9.0
REPLACED_S = LEADER_TTL_S * 4 / 3
"""A leader that is no more is replaced within this."""


async def named_by(them: Council, name: str) -> list[str]:
    """Return the names of those that a reply of one of them names."""
    response = await them.http.get(them.urls[name] + "/internal/stats")
    named = wire.StatsReply.model_validate_json(response.content).orchestrators
    return [name for name, url in them.urls.items() if url in named]


async def beat(them: Council, name: str, worker_id: str, number: int) -> wire.HeartbeatReply:
    held = [wire.HeldRef(job_id=job_id(number), epoch=1)]
    message = wire.HeartbeatAsk(
        worker_id=worker_id, incarnation=f"{worker_id}-1", capacity=10, chain_speed=10, holding=held, checkpoints=[]
    )
    return await them.call(name, "/internal/heartbeat", wire.HeartbeatReply, message)


async def state_of(them: Council, number: int) -> str:
    job = await them.store.job(OWNER, job_id(number))
    assert job is not None
    return job.state.value


# --- the registry ----------------------------------------------------------------------------------------------------
async def test_every_reply_of_each_names_all_that_live() -> None:
    async with council("a", "b") as them:
        await them.start("c")
        await them.clock.advance(TTL_S / 3)
        for name in "abc":
            assert await named_by(them, name) == ["a", "b", "c"]


async def test_one_that_was_killed_is_named_no_more_once_its_time_is_up() -> None:
    async with council("a", "b") as them:
        them.kill("b")
        await them.clock.advance(TTL_S / 3)
        assert await named_by(them, "a") == ["a", "b"]
        await them.clock.advance(TTL_S)
        assert await named_by(them, "a") == ["a"]


async def test_one_that_stops_is_named_no_more_at_the_next_look() -> None:
    async with council("a", "b") as them:
        await them.stop("b")
        await them.clock.advance(TTL_S / 3)
        assert await named_by(them, "a") == ["a"]


async def test_one_that_is_cut_from_the_store_names_those_it_knew() -> None:
    async with council("a", "b") as them:
        await them.clock.advance(TTL_S / 3)
        them.cut("a")
        await them.clock.advance(2 * TTL_S)
        assert them.seats["a"].orchestrator.registry.living == list(them.urls.values())
        assert await named_by(them, "b") == ["b"]
        them.mend("a")
        await them.clock.advance(TTL_S / 3)
        assert await named_by(them, "b") == ["a", "b"]


# --- who leads -------------------------------------------------------------------------------------------------------
async def test_one_leads_and_when_it_is_killed_another_does_soon() -> None:
    async with council("a", "b") as them:
        assert them.leaders == ["a"]
        them.kill("a")
        await them.clock.advance(REPLACED_S)
        assert them.seats["b"].orchestrator.leader.leads()


async def test_one_that_stops_is_replaced_at_the_next_look() -> None:
    async with council("a", "b") as them:
        await them.stop("a")
        await them.clock.advance(LEADER_TTL_S / 3)
        assert them.leaders == ["b"]


async def test_the_leases_of_a_worker_that_was_lost_with_the_leader_expire_at_the_next_leader() -> None:
    async with council("a", "b") as them:
        await them.clock.advance(LEASE_S)
        await them.submit("a", 1)
        assert (await them.lease("a", "w")).grants
        them.kill("a")
        await them.clock.advance(LEASE_S + 1.1)
        assert await state_of(them, 1) == "queued"


async def test_a_leader_that_stood_still_for_longer_than_its_leadership_expires_nothing_when_it_wakes() -> None:
    async with council("a", "b") as them:
        await them.clock.advance(LEASE_S)
        await them.submit("b", 1)
        await them.lease("b", "w")
        them.pause("a")
        for _ in range(10):
            await them.clock.advance(3)
            await beat(them, "b", "w", 1)
        assert them.leaders == ["b"]
        calls = them.seats["a"].connection.calls
        calls.clear()
        them.resume("a")
        await them.clock.advance(LEASE_S - 0.1)
        assert "expire" not in calls
        assert (await beat(them, "b", "w", 1)).stale == []


async def test_a_leader_that_stood_still_in_the_middle_of_a_sweep_changes_nothing_when_it_wakes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with council("a", "b") as them:
        await them.clock.advance(LEASE_S + 1)
        await them.submit("b", 1)
        await them.lease("b", "w")
        expire, refused = them.store.expire, []

        async def late(epoch: int, now: float, limit: int) -> object:
            if epoch == 1:
                them.pause("a")
                await them.seats["a"].health.runs.wait()
            try:
                return await expire(epoch, now, limit)
            except StaleLeaderError:
                refused.append(epoch)
                raise

        monkeypatch.setattr(them.store, "expire", late)
        for _ in range(5):
            await them.clock.advance(3)
            await beat(them, "b", "w", 1)
        assert them.leaders == ["b"]
        them.resume("a")
        await them.clock.advance(1)
        assert refused == [1]
        assert await state_of(them, 1) == "leased"


async def test_a_heartbeat_that_a_standing_orchestrator_carries_out_late_shortens_no_lease() -> None:
    async with council("a", "b") as them:
        await them.clock.advance(LEASE_S)
        await them.submit("b", 1)
        await them.lease("b", "w")
        them.pause("a")
        late = asyncio.create_task(beat(them, "a", "w", 1))
        for _ in range(4):
            await them.clock.advance(3)
            await beat(them, "b", "w", 1)
        them.resume("a")
        await late
        (worker,) = await them.store.workers()
        assert worker.lease_until == them.clock.now() + LEASE_S


# --- time ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("off_s", [-3600.0, 3600.0])
async def test_an_orchestrator_whose_machine_has_the_wrong_time_keeps_that_of_the_store(off_s: float) -> None:
    async with council("a") as them:
        seat = await them.start("b", off_s=off_s)
        await them.clock.advance(LEASE_S)
        await them.submit("b", 1)
        await them.lease("b", "w")
        assert seat.disciplined.now() == pytest.approx(them.clock.now())
        (worker,) = await them.store.workers()
        assert worker.lease_until == pytest.approx(them.clock.now() + LEASE_S)


async def test_nothing_expires_within_one_lease_time_of_a_jump_of_the_clock() -> None:
    async with council("a") as them:
        grace = them.seats["a"].orchestrator.grace
        await them.clock.advance(LEASE_S)
        assert not grace.lasts()
        them.seats["a"].connection.ahead_s = 60.0
        await them.clock.advance(3)
        assert grace.lasts()
        await them.clock.advance(LEASE_S - 3)
        assert grace.lasts()
        await them.clock.advance(3.1)
        assert not grace.lasts()


async def test_nothing_expires_while_the_clock_is_far_ahead() -> None:
    async with council("a") as them:
        grace = them.seats["a"].orchestrator.grace
        await them.clock.advance(LEASE_S)
        them.seats["a"].connection.ahead_s = -30.0
        await them.clock.advance(2 * (30 - LEASE_S / 3))
        assert grace.lasts()
        await them.clock.advance(6)
        assert not grace.lasts()


# --- wakes -----------------------------------------------------------------------------------------------------------
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


# --- callers ---------------------------------------------------------------------------------------------------------
CALLERS = 10


def callers(them: Council) -> list[Orchestrators]:
    """Return callers that were told of ``a`` only, and whose draws are spread evenly."""
    return [them.caller("a", uniform=partial(float, number / CALLERS)) for number in range(CALLERS)]


async def answered(them: Council, asking: list[Orchestrators], path: str = "/internal/stats") -> dict[str, int]:
    """Let each caller ask once, in vain never; return who answered how often."""
    them.answered.clear()
    for caller in asking:
        await caller.call("GET", path, wire.Reply, timeout_s=0.05)
    return dict(them.answered)


async def test_callers_that_were_told_of_one_spread_over_all() -> None:
    async with council("a", "b") as them:
        await them.clock.advance(TTL_S / 3)
        asking = callers(them)
        assert await answered(them, asking) == {"a": CALLERS}
        await them.clock.advance(PREFER_S)
        assert await answered(them, asking) == {"a": CALLERS / 2, "b": CALLERS / 2}


async def test_callers_move_on_at_once_from_one_that_was_killed_and_come_back_when_it_is_there_again() -> None:
    async with council("a", "b") as them:
        asking = callers(them)
        await them.clock.advance(PREFER_S)
        await answered(them, asking)
        them.kill("b")
        assert await answered(them, asking) == {"a": CALLERS}
        await them.start("b")
        await them.clock.advance(PREFER_S)
        assert await answered(them, asking) == {"a": CALLERS / 2, "b": CALLERS / 2}


async def test_callers_move_on_from_one_that_stands_still_and_come_back_when_it_runs_again() -> None:
    async with council("a", "b") as them:
        asking = callers(them)
        await them.clock.advance(PREFER_S)
        await answered(them, asking)
        them.pause("b")
        assert await answered(them, asking) == {"a": CALLERS}
        assert await answered(them, asking) == {"a": CALLERS}
        them.resume("b")
        await them.clock.advance(PREFER_S)
        assert await answered(them, asking) == {"a": CALLERS / 2, "b": CALLERS / 2}


async def test_callers_move_on_from_one_that_cannot_reach_the_store() -> None:
    async with council("a", "b") as them:
        await them.clock.advance(PREFER_S)
        asking = callers(them)
        await answered(them, asking)
        them.cut("a")
        assert await answered(them, asking, f"/internal/completed?owner={OWNER}") == {"a": CALLERS, "b": CALLERS}
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


async def test_each_shows_who_leads_and_what_the_leader_decided() -> None:
    async def fleet(name: str) -> wire.Fleet:
        response = await them.http.get(them.urls[name] + "/internal/fleet")
        return wire.FleetReply.model_validate_json(response.content).fleet

    async with council("a", "b") as them:
        them.seats["a"].orchestrator.leader.shows(lambda: "stay at 1")
        await them.clock.advance(LEADER_TTL_S)
        for name in "ab":
            assert (await fleet(name)).leader == them.urls["a"]
        assert (await fleet("b")).decision == "stay at 1"
        them.kill("a")
        await them.clock.advance(REPLACED_S + 1)
        assert ((await fleet("b")).leader, (await fleet("b")).decision) == (them.urls["b"], None)
