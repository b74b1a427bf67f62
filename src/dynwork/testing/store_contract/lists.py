"""What there is, listed: jobs newest first, and the tail of the feed, whose ever it is."""

# ruff: noqa: D102 — a test is described by its name
from __future__ import annotations

import pytest

from dynwork.errors import CursorExpiredError
from dynwork.orchestrator.core.job import JobState
from dynwork.orchestrator.store.values import Ended, Tail
from dynwork.testing.store_contract.backend import StoreContract
from dynwork.testing.store_driver import StoreDriver, job_id, name_of
from dynwork.testing.store_pages import listed

EVERYBODY = None


async def _one_of_each(drive: StoreDriver) -> None:
    """Ann's jobs, one in each state, in order of the states; then bob's, without a dead one."""
    await drive.submit("j4")
    await drive.die("j4")
    for name, owner, worker in (("j2", "ann", "w1"), ("j7", "bob", "w2")):
        await drive.submit(name, owner=owner)
        await drive.lease(worker)
    for name, owner in (("j5", "ann"), ("j9", "bob")):
        await drive.submit(name, owner=owner)
        await drive.cancel(name, owner)
    for name, owner, steps in (("j1", "ann", 2), ("j3", "ann", 1), ("j6", "bob", 2), ("j8", "bob", 1)):
        await drive.submit(name, owner=owner, steps=steps)


class ListContract(StoreContract):
    """Each list, by owner and by state, page by page."""

    @pytest.mark.parametrize(
        ("owner", "state", "expected"),
        [
            ("ann", None, "j5 j4 j3 j2 j1"),
            ("ann", JobState.QUEUED, "j1"),
            ("ann", JobState.LEASED, "j2"),
            ("ann", JobState.SUCCEEDED, "j3"),
            ("ann", JobState.DEAD, "j4"),
            ("ann", JobState.CANCELLED, "j5"),
            ("bob", None, "j9 j8 j7 j6"),
            ("bob", JobState.LEASED, "j7"),
            ("bob", JobState.DEAD, ""),
            (EVERYBODY, None, "j9 j8 j7 j6 j5 j4 j3 j2 j1"),
            (EVERYBODY, JobState.QUEUED, "j6 j1"),
            (EVERYBODY, JobState.LEASED, "j7 j2"),
            (EVERYBODY, JobState.SUCCEEDED, "j8 j3"),
            (EVERYBODY, JobState.DEAD, "j4"),
            (EVERYBODY, JobState.CANCELLED, "j9 j5"),
        ],
    )
    async def test_jobs_are_listed_newest_first_by_owner_and_state(
        self, drive: StoreDriver, owner: str | None, state: JobState | None, expected: str
    ) -> None:
        await _one_of_each(drive)
        for limit in (1, 2, 100):
            found = await listed(drive.store, owner, state, limit)
            assert " ".join(name_of(job) for job in found) == expected
            assert found == [await drive.store.job(owner, job.job_id) for job in found]

    @pytest.mark.parametrize("state", [None, JobState.QUEUED, JobState.LEASED, JobState.CANCELLED])
    async def test_a_page_has_at_most_its_limit_and_the_last_says_so(
        self, drive: StoreDriver, state: JobState | None
    ) -> None:
        for n in (1, 2, 3, 4):
            await drive.submit(f"j{n}")
            if state is JobState.LEASED:
                await drive.lease(f"w{5 - n}")
            if state is JobState.CANCELLED:
                await drive.cancel(f"j{n}")
        first = await drive.store.jobs("ann", state, None, 2)
        assert ([name_of(job) for job in first.jobs], first.next) == (["j4", "j3"], job_id("j3"))
        last = await drive.store.jobs("ann", state, first.next, 2)
        assert ([name_of(job) for job in last.jobs], last.next) == (["j2", "j1"], None)
        assert not (await drive.store.jobs("ann", state, job_id("j1"), 2)).jobs

    async def test_a_job_that_comes_meanwhile_moves_no_page(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        await drive.submit("j2")
        first = await drive.store.jobs("ann", None, None, 1)
        await drive.submit("j3")
        second = await drive.store.jobs("ann", None, first.next, 1)
        assert [name_of(job) for job in (*first.jobs, *second.jobs)] == ["j2", "j1"]

    async def test_everybody_s_jobs_results_and_cancellations_are_reached_without_an_owner(
        self, drive: StoreDriver
    ) -> None:
        await drive.submit("j1", steps=1)
        await drive.submit("j2", owner="bob")
        assert await drive.store.job(EVERYBODY, job_id("j2")) == await drive.job("j2", "bob")
        assert await drive.store.job(EVERYBODY, job_id("j7")) is None
        await drive.cancel("j2", EVERYBODY)
        page = await drive.store.feed(EVERYBODY, None, 10)
        assert [name_of(job) for job in page.jobs] == ["j1", "j2"]
        assert list((await drive.store.feed(EVERYBODY, page.next, 10)).jobs) == []
        await drive.submit("j3", owner="bob", steps=1)
        assert [name_of(job) for job in await drive.store.newest_succeeded(EVERYBODY, 10)] == ["j3", "j1"]

    async def test_the_tail_tells_what_ended_since_whose_ever_it_is(self, drive: StoreDriver) -> None:
        await drive.submit("j1", steps=1)
        assert await drive.store.tail(None, 10) == Tail([], 1)
        assert await drive.store.tail(1, 10) == Tail([], 1)
        await drive.submit("j3", owner="bob", steps=1)
        await drive.submit("j2")
        await drive.cancel("j2")
        j3, j2 = Ended(job_id("j3"), "bob"), Ended(job_id("j2"), "ann")
        assert await drive.store.tail(1, 10) == Tail([j3, j2], 3)
        assert await drive.store.tail(1, 1) == Tail([j3], 2)
        assert await drive.store.tail(2, 1) == Tail([j2], 3)

    async def test_a_tail_that_was_retired_or_never_was_is_told_so(self, drive: StoreDriver) -> None:
        for name in ("j1", "j2"):
            await drive.submit(name, steps=1)
            drive.advance(1)
        await drive.retire(drive.now, limit=1)
        for after in (0, 3):
            with pytest.raises(CursorExpiredError):
                await drive.store.tail(after, 10)
        assert await drive.store.tail(1, 10) == Tail([Ended(job_id("j2"), "ann")], 2)
