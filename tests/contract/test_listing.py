"""A page of a list passes a bounded number of ids, and says where to go on, whatever it has found until then."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynwork.orchestrator.core.job import JobState
from dynwork.orchestrator.store import listing
from dynwork.testing.store_backends import SqliteBackend
from dynwork.testing.store_contract import RULES
from dynwork.testing.store_driver import StoreDriver, job_id, name_of
from dynwork.testing.store_pages import listed


@pytest.fixture
async def drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoreDriver:
    """Nine jobs: the first and the last wait, the others have ended; bob's are between them. A page passes three."""
    monkeypatch.setattr(listing, "LOOK_MAX", 3)
    drive = StoreDriver(await SqliteBackend(tmp_path).fresh(RULES))
    for n in range(1, 10):
        await drive.submit(f"j{n}", steps=100 if n in (1, 9) else 1)
        await drive.submit(f"j{10 + n}", owner="bob")
    return drive


async def test_a_page_ends_short_or_empty_where_it_has_passed_enough(drive: StoreDriver) -> None:
    pages: list[tuple[str, str | None]] = []
    while not pages or pages[-1][1]:
        before = pages[-1][1] if pages else None
        page = await drive.store.jobs("ann", JobState.QUEUED, before, 10)
        pages.append((" ".join(name_of(job) for job in page.jobs), page.next))
    assert pages == [("j9", job_id("j7")), ("", job_id("j4")), ("j1", job_id("j1")), ("", None)]


@pytest.mark.parametrize("limit", [1, 2, 3, 10])
async def test_short_pages_leave_nothing_out(drive: StoreDriver, limit: int) -> None:
    ended = await listed(drive.store, "ann", JobState.SUCCEEDED, limit)
    assert [name_of(job) for job in ended] == ["j8", "j7", "j6", "j5", "j4", "j3", "j2"]
    everybody = await listed(drive.store, None, JobState.QUEUED, limit)
    assert [name_of(job) for job in everybody] == [*(f"j{n}" for n in range(19, 10, -1)), "j9", "j1"]


async def test_what_an_index_has_in_order_is_not_cut_short(drive: StoreDriver) -> None:
    assert len((await drive.store.jobs("ann", None, None, 10)).jobs) == 9
    for n in range(11, 20):
        await drive.cancel(f"j{n}", "bob")
    assert len((await drive.store.jobs("bob", JobState.CANCELLED, None, 10)).jobs) == 9
