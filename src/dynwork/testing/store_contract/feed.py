"""The results feed and retention: invariants 1 and 6."""

# ruff: noqa: D102 — a test is described by its name
from __future__ import annotations

import asyncio

import pytest

from dynwork.errors import CursorExpiredError
from dynwork.orchestrator.core.backlog import Backlog
from dynwork.orchestrator.core.job import JobState
from dynwork.orchestrator.store.commands import Round
from dynwork.orchestrator.store.values import FeedPage, Totals
from dynwork.testing.store_contract.backend import Backend, StoreContract
from dynwork.testing.store_driver import KIND, StoreDriver, job_id, name_of, of_kind, submission


def _names(page: FeedPage) -> str:
    return " ".join(name_of(job) for job in page.jobs)


async def _ended(drive: StoreDriver, *names: str, owner: str = "ann") -> None:
    """Let jobs end, in this order, one a second."""
    for name in names:
        await drive.submit(name, owner=owner, steps=1)
        drive.advance(1)


class FeedContract(StoreContract):
    """Every job that ended, once, in order, for as long as it is kept."""

    async def test_every_terminal_state_is_listed_once(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        await drive.submit("j2")
        await drive.cancel("j2")
        for epoch in (1, 2, 3):
            await drive.lease("w1")
            await drive.fail("w1", f"j1#{epoch}")
            drive.advance(10)
        await drive.submit("j3")
        await drive.lease("w1")
        await drive.complete("w1", "j3#1")
        page = await drive.store.feed("ann", None, 10)
        assert [(name_of(job), job.state) for job in page.jobs] == [
            ("j2", JobState.CANCELLED),
            ("j1", JobState.DEAD),
            ("j3", JobState.SUCCEEDED),
        ]
        assert list(page.jobs) == [await drive.job(name) for name in ("j2", "j1", "j3")]

    async def test_pages_follow_each_other_without_gap_or_overlap(self, drive: StoreDriver) -> None:
        await _ended(drive, "j5", "j4", "j3", "j2", "j1")
        seen, cursor = [], None
        for _ in range(3):
            page = await drive.store.feed("ann", cursor, 2)
            seen.append(_names(page))
            cursor = page.next
        assert seen == ["j5 j4", "j3 j2", "j1"]
        assert await drive.store.feed("ann", cursor, 2) == FeedPage([], 5)
        await _ended(drive, "j6")
        assert _names(await drive.store.feed("ann", cursor, 2)) == "j6"

    async def test_owners_see_their_own_entries_only(self, drive: StoreDriver) -> None:
        await _ended(drive, "j1")
        await _ended(drive, "j2", owner="bob")
        await _ended(drive, "j3")
        assert _names(await drive.store.feed("ann", None, 10)) == "j1 j3"
        assert _names(await drive.store.feed("bob", None, 10)) == "j2"
        assert _names(FeedPage(await drive.store.newest_succeeded("bob", 10))) == "j2"

    async def test_a_page_that_is_just_full_goes_on_from_its_last_entry(self, drive: StoreDriver) -> None:
        await _ended(drive, "j1")
        await _ended(drive, "j2", owner="bob")
        assert (await drive.store.feed("ann", None, 1)).next == 1
        assert (await drive.store.feed("ann", None, 2)).next == 2

    async def test_an_idle_follower_does_not_fall_behind_retention(self, drive: StoreDriver) -> None:
        cursor = (await drive.store.feed("ann", None, 10)).next
        await _ended(drive, "j1", "j2", owner="bob")
        cursor = (await drive.store.feed("ann", cursor, 10)).next
        assert cursor == 2
        await drive.retire(drive.now, 10)
        assert await drive.store.feed("ann", cursor, 10) == FeedPage([], 2)

    async def test_newest_succeeded_is_by_position_and_bounded(self, drive: StoreDriver) -> None:
        await _ended(drive, "j3", "j1")
        await drive.submit("j4")
        await drive.cancel("j4")
        await _ended(drive, "j2")
        assert _names(FeedPage(await drive.store.newest_succeeded("ann", 2))) == "j2 j1"
        assert _names(FeedPage(await drive.store.newest_succeeded("ann", 9))) == "j2 j1 j3"

    async def test_positions_have_no_gap_when_many_rounds_commit_at_once(self, drive: StoreDriver) -> None:
        rounds = [Round(submissions=[submission(f"j{3 * n + m}", steps=1) for m in (1, 2, 3)]) for n in range(6)]
        await asyncio.gather(*(drive.commit(round_) for round_ in rounds))
        page = await drive.store.feed("ann", None, 100)
        assert [job.position for job in page.jobs] == list(range(1, 19))

    async def test_retention_deletes_the_oldest_ended_jobs_and_nothing_else(self, drive: StoreDriver) -> None:
        await drive.submit("j9")
        await _ended(drive, "j1", "j2", "j3", "j4")
        assert await drive.retire(drive.now - 1, limit=2) == 2
        assert await drive.retire(drive.now - 1, limit=2) == 1
        assert await drive.retire(drive.now - 1, limit=2) == 0
        assert await drive.store.job("ann", job_id("j3")) is None
        assert [await drive.state("j4"), await drive.state("j9")] == [JobState.SUCCEEDED, JobState.QUEUED]
        backlog = {KIND: Backlog(queued=1, steps=99.0)}
        assert await drive.store.totals() == Totals(queued=1, succeeded=1, backlog=backlog, submitted=5, completed=4)

    async def test_retention_counts_down_whatever_kinds_it_deletes(self, drive: StoreDriver) -> None:
        for n, kind in enumerate(("a", "b", "a", KIND), 1):
            await drive.try_submit(of_kind(f"j{n}", kind, steps=1))
        await drive.retire(drive.now + 1, limit=3)
        assert await drive.store.totals() == Totals(succeeded=1, submitted=4, completed=4)

    async def test_a_cursor_older_than_retention_is_told_so(self, drive: StoreDriver, backend: Backend) -> None:
        await _ended(drive, "j1", "j2", "j3")
        await drive.retire(drive.now, limit=2)
        for cursor in (0, 1):
            with pytest.raises(CursorExpiredError):
                await drive.store.feed("ann", cursor, 10)
        assert _names(await drive.store.feed("ann", 2, 10)) == "j3"
        assert _names(await drive.store.feed("ann", None, 10)) == "j3"
        drive.store = await backend.restart(drive.store)
        with pytest.raises(CursorExpiredError):
            await drive.store.feed("ann", 1, 10)

    async def test_a_cursor_that_the_store_has_not_reached_is_told_so(self, drive: StoreDriver) -> None:
        for cursor in (1, 2**62):
            with pytest.raises(CursorExpiredError):
                await drive.store.feed("ann", cursor, 10)
        await _ended(drive, "j1")
        assert await drive.store.feed("ann", 1, 10) == FeedPage([], 1)
        with pytest.raises(CursorExpiredError):
            await drive.store.feed("ann", 2, 10)

    async def test_positions_go_on_after_retention_and_restart(self, drive: StoreDriver, backend: Backend) -> None:
        await _ended(drive, "j1", "j2")
        await drive.retire(drive.now, limit=2)
        drive.store = await backend.restart(drive.store)
        await _ended(drive, "j3")
        assert (await drive.job("j3")).position == 3

    async def test_a_key_is_free_again_after_retention(self, drive: StoreDriver) -> None:
        await drive.submit("j1", key="k", steps=1)
        drive.advance(1)
        await drive.retire(drive.now, limit=1)
        assert (await drive.submit("j2", key="k", steps=1)).job_id == job_id("j2")
