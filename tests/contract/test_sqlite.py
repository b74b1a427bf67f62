"""What holds for SQLite alone: one opener, one file, and durability that does not depend on a clean end."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection

from dynwork.errors import StoreLockedError, StoreUnavailableError
from dynwork.orchestrator.core.job import JobState
from dynwork.orchestrator.store.commands import Round
from dynwork.orchestrator.store.sqlite import SqliteStore
from dynwork.orchestrator.store.values import Rules
from dynwork.testing.store_driver import StoreDriver, job_id, submission


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "dynwork.db", Rules())
    await store.open()
    yield store
    await store.close()


async def test_a_second_opener_is_refused_and_the_first_goes_on(store: SqliteStore, tmp_path: Path) -> None:
    second = SqliteStore(tmp_path / "dynwork.db", Rules())
    with pytest.raises(StoreLockedError):
        await second.open()
    await second.close()
    await StoreDriver(store).submit("j1")
    third = SqliteStore(tmp_path / "dynwork.db", Rules())
    with pytest.raises(StoreLockedError):
        await third.open()
    await third.close()


async def test_a_directory_made_for_the_store_is_its_user_s_alone(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "data" / "dynwork.db", Rules())
    await store.open()
    await store.close()
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


async def test_the_file_can_be_opened_again_after_it_was_closed(tmp_path: Path) -> None:
    clusters = set()
    for _ in range(3):
        store = SqliteStore(tmp_path / "dynwork.db", Rules())
        await store.open()
        clusters.add(await store.cluster_id())
        await store.close()
    assert len(clusters) == 1


async def test_two_files_are_two_clusters(store: SqliteStore, tmp_path: Path) -> None:
    other = SqliteStore(tmp_path / "other.db", Rules())
    await other.open()
    assert await other.cluster_id() != await store.cluster_id()
    await other.close()


async def test_what_was_committed_is_in_the_files_without_a_clean_end(store: SqliteStore, tmp_path: Path) -> None:
    """The files as a killed process leaves them: copied while the store is open, nothing closed."""
    drive = StoreDriver(store)
    await drive.submit("j1")
    await drive.lease("w1")
    await drive.beat("w1", "j1#1@60")
    await drive.submit("j2", steps=1)
    survivor = StoreDriver(SqliteStore(_left_behind(tmp_path), Rules()))
    await survivor.store.open()
    assert await survivor.job("j1") == await drive.job("j1")
    assert await survivor.job("j2") == await drive.job("j2")
    assert await survivor.store.totals() == await store.totals()
    assert await survivor.store.feed("ann", None, 10) == await store.feed("ann", None, 10)
    await survivor.store.close()


@pytest.mark.parametrize("suffix", ["", "-wal"])
async def test_nothing_is_acknowledged_once_a_file_is_deleted(store: SqliteStore, tmp_path: Path, suffix: str) -> None:
    """The engine goes on writing into the file without a name, which ends with the process."""
    drive = StoreDriver(store)
    await drive.submit("j1")
    file = tmp_path / f"dynwork.db{suffix}"
    kept = file.rename(tmp_path / "kept")
    with pytest.raises(StoreUnavailableError, match="deleted or replaced"):
        await drive.submit("j2")
    with pytest.raises(StoreUnavailableError):
        await store.totals()
    kept.rename(file)
    await drive.submit("j3")
    assert (await store.totals()).queued == 3


async def test_a_broken_file_is_a_store_that_is_away_not_an_error_of_what_was_asked(
    store: SqliteStore, tmp_path: Path
) -> None:
    drive = StoreDriver(store)
    await drive.submit("j1")
    with contextlib.closing(sqlite3.connect(tmp_path / "dynwork.db")) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with (tmp_path / "dynwork.db").open("r+b") as file:
        file.write(b"no database at all" * 100)
    with pytest.raises(StoreUnavailableError):
        await drive.submit("j2")


@pytest.mark.parametrize(("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2)])
async def test_what_was_committed_survives_the_loss_of_power(store: SqliteStore, pragma: str, value: str | int) -> None:
    """No test can pull the plug: the engine's own word must do. 2 is FULL: every commit is on the disk."""
    assert await store._write(lambda conn: conn.exec_driver_sql(f"PRAGMA {pragma}").scalar()) == value


async def test_a_transaction_has_the_file_from_its_first_moment(store: SqliteStore, tmp_path: Path) -> None:
    """One that only reads at first would be refused, not kept waiting, if another program wrote meanwhile."""

    def begin_beside(_conn: Connection) -> None:
        refused = pytest.raises(sqlite3.OperationalError, match="locked")
        with closing(sqlite3.connect(tmp_path / "dynwork.db", timeout=0)) as other, refused:
            other.execute("BEGIN IMMEDIATE")

    await store._write(begin_beside)


async def test_rounds_larger_than_one_statement_are_one_transaction(store: SqliteStore) -> None:
    drive = StoreDriver(store)
    names = [f"j{n}" for n in range(1, 2001)]
    receipt = await drive.commit(Round(submissions=[submission(name, key=name) for name in names]))
    assert receipt.claimable == len(names)
    again = await drive.commit(Round(submissions=[submission(name, key=name) for name in names]))
    assert list(again.submissions) == list(receipt.submissions)
    assert (await store.totals()).queued == len(names)


async def test_a_folder_that_does_not_exist_is_made(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "a" / "b" / "dynwork.db", Rules())
    await store.open()
    assert (await StoreDriver(store).submit("j1")).state is JobState.QUEUED
    assert await store.job("ann", job_id("j1")) is not None
    await store.close()


def _left_behind(folder: Path) -> Path:
    copy = folder / "copy"
    copy.mkdir()
    for file in folder.glob("dynwork.db*"):
        shutil.copy(file, copy)
    return copy / "dynwork.db"
