"""Where a synchronous standby is demanded, nothing counts that is not on it; here the standby never comes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import asyncpg
import pytest

from dynwork.errors import StoreUnavailableError
from dynwork.orchestrator.core.job import Job
from dynwork.orchestrator.store.postgres import PostgresStore
from dynwork.orchestrator.store.values import Rules
from dynwork.testing.postgres import Databases, local_postgres
from dynwork.testing.store_driver import OWNER, StoreDriver, job_id

WITH_REPLICATION = {"wal_level": "replica", "max_wal_senders": "2"}
WAITING = "FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND datname = current_database()"


class Waiting:
    """A store whose commits wait, and an operator's own connection."""

    def __init__(self, store: PostgresStore, operator: asyncpg.Connection) -> None:
        self.store = store
        self.drive = StoreDriver(store)
        self._operator = operator

    async def demand_standby(self, name: str) -> None:
        await self._operator.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
        await self._operator.execute("SELECT pg_reload_conf()")

    async def submit(self) -> tuple[str, asyncio.Task[Job]]:
        """Return a job whose submission waits; the server takes a moment to demand its standby."""
        for number in itertools.count(1):
            task = asyncio.ensure_future(self.drive.submit(f"j{number}"))
            while not task.done():
                if await self.commits_waiting() > 0:
                    return f"j{number}", task
            await task
        raise AssertionError

    async def commits_waiting(self) -> int:
        return int(await self._operator.fetchval(f"SELECT count(*) {WAITING}"))

    async def cancel_them(self) -> None:
        await self._operator.execute(f"SELECT pg_cancel_backend(pid) {WAITING}")

    async def is_there(self, name: str) -> bool:
        return await self.store.job(OWNER, job_id(name)) is not None


@pytest.fixture
async def waiting(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Waiting]:
    with local_postgres(tmp_path_factory.mktemp("primary"), WITH_REPLICATION) as server:
        url = await Databases(server).fresh()
        store, operator = PostgresStore(url, Rules(), "http://a"), await asyncpg.connect(url)
        await store.open()
        waiting = Waiting(store, operator)
        await waiting.demand_standby("nobody")
        yield waiting
        await store.close()
        await operator.close()


async def test_who_gives_up_on_a_commit_does_not_make_it_visible(waiting: Waiting) -> None:
    """A cancelled COMMIT would be there, on one machine; a repetition would find it and acknowledge it."""
    name, task = await waiting.submit()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await waiting.commits_waiting() == 1
    assert not await waiting.is_there(name)
    await waiting.demand_standby("")
    assert (await waiting.drive.submit(name)).created_at == waiting.drive.now
    assert (await waiting.store.check()) == []


async def test_a_commit_that_waits_too_long_is_a_store_that_is_away(
    waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting.store._writing, "_bound_s", 0.5)
    name, task = await waiting.submit()
    with pytest.raises(StoreUnavailableError):
        await task
    assert await waiting.commits_waiting() == 1
    assert not await waiting.is_there(name)


async def test_a_commit_that_an_operator_stops_from_waiting_is_not_acknowledged(waiting: Waiting) -> None:
    """To the server that is a success, with a warning."""
    _, task = await waiting.submit()
    await waiting.cancel_them()
    with pytest.raises(StoreUnavailableError, match="warned"):
        await task
