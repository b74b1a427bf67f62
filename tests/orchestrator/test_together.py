"""Several orchestrators over one store: who names whom, who leads, and that none of them can do harm."""

from __future__ import annotations

import asyncio

import pytest

from dynwork import wire
from dynwork.errors import StaleLeaderError, StoreUnavailableError
from dynwork.orchestrator.leader import TTL_S as LEADER_TTL_S
from dynwork.orchestrator.registry import TTL_S
from dynwork.testing.council import Council, Seat, council
from dynwork.testing.orchestrator import OWNER, job_id

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


# --- the start -------------------------------------------------------------------------------------------------------
async def test_one_that_cannot_ask_what_time_it_is_does_not_begin() -> None:
    async with council("a") as them:
        unsure = Seat(them, "http://127.0.0.1:8199", off_s=3600.0)
        unsure.health.cut = True
        with pytest.raises(StoreUnavailableError):
            await unsure.orchestrator.begin()


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
