"""Two orchestrators, one step of one between two steps of the other: the order is the test's, not the scheduler's."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from sqlalchemy import Connection, Delete, Executable, event
from sqlalchemy.util import await_only

from dynwork.errors import KeyReusedError
from dynwork.orchestrator.store import tally
from dynwork.orchestrator.store.batch import Batch
from dynwork.orchestrator.store.claims import Queue
from dynwork.orchestrator.store.commands import Round
from dynwork.orchestrator.store.postgres import PostgresStore
from dynwork.testing.postgres import Opened
from dynwork.testing.store_contract import RULES
from dynwork.testing.store_driver import KIND, StoreDriver, failed, of_kind, submission

DEADLOCKS = "SELECT pg_stat_get_db_deadlocks(oid) FROM pg_database WHERE datname = current_database()"


@pytest.fixture
async def stores(opened: Opened) -> tuple[PostgresStore, PostgresStore]:
    return await opened(), await opened()


async def test_a_job_that_failed_between_a_claim_s_look_and_its_lock_keeps_its_delay(
    stores: tuple[PostgresStore, PostgresStore],
) -> None:
    one, other = stores
    drive = StoreDriver(other)
    await drive.submit("j1")

    async def lease_and_fail() -> None:
        assert await drive.lease("w1") == "j1#1"
        await drive.commit(Round(reports=[failed("w1", "j1#1", jitter=0.5)]))

    def claim(conn: Connection) -> int:
        queue = Queue(Batch(conn, RULES, drive.now, "http://one"))
        waiting = queue.peek([KIND])
        assert waiting is not None
        await_only(lease_and_fail())
        return len(queue.lock([waiting]))

    assert await one._write(claim) == 0


async def test_what_a_writer_that_was_thought_dead_counts_while_its_rows_are_folded_is_not_lost(
    stores: tuple[PostgresStore, PostgresStore],
) -> None:
    one, other = stores
    drive = StoreDriver(other)
    await drive.submit("j1")

    def fold(conn: Connection) -> None:
        def before_deletion(_conn: Connection, statement: Executable, *_: object) -> None:
            if isinstance(statement, Delete):
                await_only(drive.commit(Round(submissions=[of_kind("j2", "another")])))

        event.listen(conn, "before_execute", before_deletion)
        tally.fold(conn, "http://leader", [])

    await one._write(fold)
    assert (await one.totals()).queued == 2
    assert await one.check() == []


async def test_one_key_for_a_job_that_is_complete_and_one_that_is_not_closes_no_circle(
    stores: tuple[PostgresStore, PostgresStore], url: str
) -> None:
    one, other = map(StoreDriver, stores)
    holding = await asyncpg.connect(url)

    async def waiting(locks: int) -> None:
        while await holding.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") < locks:
            pass

    async with holding.transaction():
        await holding.execute("SELECT * FROM cluster FOR UPDATE")
        complete = asyncio.ensure_future(one.commit(Round(submissions=[submission("j1", key="k", steps=1)])))
        await waiting(1)
        both = [submission("j2", key="k"), submission("j3", steps=1)]
        queued = asyncio.ensure_future(other.commit(Round(submissions=both)))
        await waiting(2)
    receipts = await asyncio.gather(complete, queued)
    assert await holding.fetchval(DEADLOCKS) == 0
    await holding.close()
    assert sum(isinstance(answer, KeyReusedError) for receipt in receipts for answer in receipt.submissions) == 1
    assert await one.store.check() == []


async def test_a_column_that_is_widened_while_orchestrators_run_stops_none_of_them(
    stores: tuple[PostgresStore, PostgresStore], url: str
) -> None:
    """Expand and contract: what a connection has prepared is prepared anew."""
    drive = StoreDriver(stores[0])
    await drive.lease("w1")
    migrating = await asyncpg.connect(url)
    await drive.lease("w1")
    await migrating.execute("ALTER TABLE worker ALTER COLUMN path TYPE varchar(128)")
    try:
        for _ in range(5):
            await drive.lease("w1")
            assert len(await stores[0].workers()) == 1
    finally:  # the database is for other tests, too
        await migrating.execute("ALTER TABLE worker ALTER COLUMN path TYPE varchar(64)")
        await migrating.close()
