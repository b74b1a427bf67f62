"""Orchestrators side by side: who lives, who leads, and what a leader that was replaced can no longer do."""

# ruff: noqa: D102 — a test is described by its name
from __future__ import annotations

import asyncio

import pytest

from dynwork.errors import StaleLeaderError
from dynwork.orchestrator.core.job import JobState
from dynwork.orchestrator.store.values import Leadership, News
from dynwork.testing.store_contract.backend import Backend, StoreContract
from dynwork.testing.store_driver import START, StoreDriver


class LeaderContract(StoreContract):
    """The registry, and the epoch of every act."""

    async def test_all_that_registered_live_until_their_time_is_up(self, drive: StoreDriver) -> None:
        assert list(await drive.store.register("http://b", "b1", START, 6)) == ["http://b"]
        assert list(await drive.store.register("http://a", "a1", START + 3, 6)) == ["http://a", "http://b"]
        assert list(await drive.store.register("http://a", "a1", START + 6, 6)) == ["http://a", "http://b"]
        assert list(await drive.store.register("http://a", "a1", START + 6.1, 6)) == ["http://a"]

    async def test_one_that_ends_is_no_longer_named(self, drive: StoreDriver) -> None:
        await drive.store.register("http://a", "a1", START, 6)
        await drive.store.register("http://b", "b1", START, 6)
        await drive.store.deregister("b1")
        await drive.store.deregister("b1")
        assert list(await drive.store.register("http://a", "a1", START, 6)) == ["http://a"]

    async def test_a_successor_at_the_same_url_is_not_ended_by_its_predecessor(self, drive: StoreDriver) -> None:
        await drive.store.register("http://a", "a1", START, 6)
        assert list(await drive.store.register("http://a", "a2", START, 6)) == ["http://a"]
        await drive.store.deregister("a1")
        assert list(await drive.store.register("http://b", "b1", START, 6)) == ["http://a", "http://b"]

    async def test_registrations_survive_a_restart(self, drive: StoreDriver, backend: Backend) -> None:
        await drive.store.register("http://a", "a1", START, 6)
        drive.store = await backend.restart(drive.store)
        assert list(await drive.store.register("http://b", "b1", START, 6)) == ["http://a", "http://b"]

    async def test_all_see_who_leads_and_what_it_decided(self, drive: StoreDriver, backend: Backend) -> None:
        assert await drive.store.leadership() is None
        await drive.store.lead("a", START, 6, "stay at 1")
        await drive.store.lead("b", START, 6, "grow to 2")
        assert await drive.store.leadership() == Leadership("a", 1, START + 6, "stay at 1")
        drive.store = await backend.restart(drive.store)
        assert await drive.store.lead("b", START + 6, 6) == 2
        assert await drive.store.leadership() == Leadership("b", 2, START + 12)

    async def test_a_leader_that_was_replaced_expires_retires_and_forgets_nothing(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        await drive.lease("w1")
        await drive.submit("j2", steps=1)
        old = await drive.store.lead("a", drive.now, 10)
        drive.advance(100)
        assert await drive.store.lead("b", drive.now, 10) == (old or 0) + 1
        before = await drive.store.totals(), await drive.store.workers()
        for act in (
            drive.store.expire(old or 0, drive.now, 10),
            drive.store.retire(old or 0, drive.now, 10),
            drive.store.forget(old or 0, drive.now),
        ):
            with pytest.raises(StaleLeaderError):
                await act
        assert (await drive.store.totals(), await drive.store.workers()) == before
        assert await drive.state("j1") is JobState.LEASED

    async def test_forgetting_an_orchestrator_changes_no_total(self, drive: StoreDriver) -> None:
        await drive.store.register("http://a", "a1", START, 6)
        await drive.submit("j1")
        await drive.submit("j2", steps=1)
        before = await drive.store.totals()
        drive.advance(1000)
        await drive.forget(drive.now)
        assert await drive.store.totals() == before
        assert list(await drive.store.check()) == []

    async def test_announcements_never_fail_and_listening_never_ends(self, drive: StoreDriver) -> None:
        heard: list[News] = []
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(drive.store.listen(heard.append))
            for news in (*News, *News):
                await drive.store.announce(news)
                await drive.store.totals()
            assert not listening.done()
            listening.cancel()

    async def test_what_is_heard_late_sets_no_time_back(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        await drive.lease("w1")
        drive.advance(5)
        await drive.beat("w1", "j1#1")
        before = await drive.store.workers()
        drive.advance(-5)
        await drive.beat("w1", "j1#1@50")
        await drive.lease("w1", "j1#1")
        assert await drive.store.workers() == before
        assert (await drive.job("j1")).chain.done == 50

    async def test_what_is_stored_after_a_busy_life_keeps_every_invariant(self, drive: StoreDriver) -> None:
        for n in range(1, 7):
            await drive.submit(f"j{n}", key=f"k{n}")
        await drive.lease("w1")
        await drive.complete("w1", "j1#1")
        await drive.fail("w1", "j2#1")
        await drive.cancel("j3")
        await drive.submit("j8", steps=1)
        drive.advance(100)
        await drive.lease("w2")
        await drive.expire()
        await drive.retire(drive.now, limit=1)
        assert list(await drive.store.check()) == []
