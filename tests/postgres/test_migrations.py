"""Opening brings the schema up to date, whoever else does so at the same moment, and respects a newer one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import quote, urlsplit

import asyncpg
import pytest
from sqlalchemy import text

from dynwork.errors import ConfigurationError
from dynwork.orchestrator.store.postgres import PostgresStore
from dynwork.testing.postgres import Databases
from dynwork.testing.store_contract import RULES
from dynwork.testing.store_driver import OWNER, StoreDriver, name_of


@pytest.fixture
async def empty(databases: Databases) -> AsyncIterator[str]:
    """A database without any table."""
    url = await databases.new(template="template0")
    yield url
    await databases.drop(url)


def store_over(url: str, shard: str = "http://a") -> PostgresStore:
    return PostgresStore(url, RULES, shard)


async def test_many_that_open_an_empty_database_at_once_make_one_cluster(empty: str) -> None:
    stores = [store_over(empty, f"http://{n}") for n in range(5)]
    await asyncio.gather(*(store.open() for store in stores))
    assert len({await store.cluster_id() for store in stores}) == 1
    assert await stores[0].check() == []
    for store in stores:
        await store.close()


async def test_an_older_orchestrator_goes_on_over_a_newer_schema(empty: str, databases: Databases) -> None:
    """A migration only expands: here by a column, an index and a table that this release does not know."""
    before = store_over(empty)
    await before.open()
    await databases.run(
        "ALTER TABLE job ADD COLUMN colour text; CREATE INDEX job_colour ON job (colour);"
        " CREATE TABLE paint (i int); UPDATE alembic_version SET version_num = '9999'",
        empty,
    )
    await StoreDriver(before).submit("j1")
    after = store_over(empty)
    await after.open()
    assert await after.cluster_id() == await before.cluster_id()
    assert await StoreDriver(after).lease("w1") == "j1#1"
    for store in (before, after):
        await store.close()


async def test_a_schema_of_the_first_release_is_brought_up_to_date_under_an_orchestrator_of_it(
    empty: str, databases: Databases
) -> None:
    before = store_over(empty)
    await before.open()
    await StoreDriver(before).submit("j1")
    await databases.run(
        "DROP INDEX job_owner, job_set_aside, job_requeued, instance_ended; ALTER TABLE worker DROP COLUMN notice;"
        " ALTER TABLE instance DROP COLUMN placement; UPDATE alembic_version SET version_num = '0001'",
        empty,
    )
    await StoreDriver(before).submit("j2")
    after = store_over(empty, "http://b")
    await after.open()
    await StoreDriver(before).submit("j3")
    page = await after.jobs(OWNER, None, None, 10)
    assert [name_of(job) for job in page.jobs] == ["j3", "j2", "j1"]
    indexes = text("SELECT indexname FROM pg_indexes WHERE tablename = 'job'")
    made = await after._read(lambda conn: set(conn.scalars(indexes)))
    assert {"job_owner", "job_set_aside", "job_requeued"} <= made
    for store in (before, after):
        await store.close()


async def test_who_finds_the_newest_schema_needs_no_right_to_change_it(url: str, databases: Databases) -> None:
    await databases.run(
        "DROP ROLE IF EXISTS humble; CREATE ROLE humble LOGIN PASSWORD 'humble';"
        " GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO humble",
        url,
    )
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    store = store_over(parts._replace(netloc=f"humble:{quote('humble')}@{host}").geturl())
    await store.open()
    await StoreDriver(store).submit("j1")
    await store.close()
    await databases.run("DROP OWNED BY humble; DROP ROLE humble", url)


async def test_a_database_that_does_not_wait_for_its_disk_is_refused(url: str, databases: Databases) -> None:
    name = urlsplit(url).path[1:]
    await databases.run(f"ALTER DATABASE {name} SET synchronous_commit = off")
    try:
        with pytest.raises(ConfigurationError, match="synchronous_commit"):
            await store_over(url).open()
    finally:
        await databases.run(f"ALTER DATABASE {name} RESET synchronous_commit")


async def test_migrating_waits_for_who_migrates_already(empty: str) -> None:
    other = await asyncpg.connect(empty)
    lock = "SELECT pg_advisory_xact_lock(x'64796e776f726b'::bigint)"
    async with other.transaction():
        await other.execute(lock)
        store = store_over(empty)
        opening = asyncio.ensure_future(store.open())
        while not await other.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
            assert not opening.done()
        assert await other.fetchval("SELECT to_regclass('job')") is None
    await opening
    assert await store._read(lambda conn: conn.execute(text("SELECT count(*) FROM cluster")).scalar()) == 1
    await store.close()
    await other.close()
