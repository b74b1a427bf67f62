"""What becomes of a transaction that does not simply commit: it is repeated, refused, or the store is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncpg
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util.concurrency import await_

from dynwork.errors import StoreUnavailableError
from dynwork.orchestrator.core.job import JobState
from dynwork.orchestrator.store.postgres import PostgresStore, connecting, sessions
from dynwork.testing.postgres import Databases, Opened
from dynwork.testing.store_driver import StoreDriver

DISCONNECT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dynwork'"


def run(statement: str) -> Callable[[Connection], object]:
    def act(conn: Connection) -> object:
        result = conn.execute(text(statement))
        return result.scalar() if result.returns_rows else None

    return act


class Failing:
    """A transaction that fails with ``sqlstate`` as often as told."""

    def __init__(self, sqlstate: str, times: int) -> None:
        self.tries = 0
        self._raise = f"DO $$ BEGIN RAISE EXCEPTION 'told to' USING ERRCODE = '{sqlstate}'; END $$"
        self._times = times

    def __call__(self, conn: Connection) -> int:
        self.tries += 1
        if self.tries <= self._times:
            conn.exec_driver_sql(self._raise)
        return self.tries


@pytest.mark.parametrize("sqlstate", ["40P01", "40001", "23505"])
async def test_a_transaction_that_collides_is_carried_out_again_as_a_whole(store: PostgresStore, sqlstate: str) -> None:
    assert await store._write(Failing(sqlstate, times=2)) == 3
    hopeless = Failing(sqlstate, times=9)
    with pytest.raises(StoreUnavailableError):
        await store._write(hopeless)
    assert hopeless.tries == sessions.TRIES


@pytest.mark.parametrize("sqlstate", ["25006", "53300", "55P03", "57014", "57P01", "58030", "XX001"])
async def test_what_the_server_cannot_do_just_now_is_a_store_that_is_away(store: PostgresStore, sqlstate: str) -> None:
    """Read-only, too many connections, lock not available, cancelled, shut down, I/O error, corrupted: not repeated."""
    failing = Failing(sqlstate, times=1)
    with pytest.raises(StoreUnavailableError):
        await store._write(failing)
    assert failing.tries == 1


@pytest.mark.parametrize("statement", ["SELECT 1 / 0", "SELECT nothing", "SELECT CAST('x' AS integer)"])
async def test_a_statement_that_is_to_blame_itself_is_an_error_of_what_was_asked(
    store: PostgresStore, statement: str
) -> None:
    with pytest.raises(DBAPIError):
        await store._write(run(statement))


async def test_a_value_that_the_driver_refuses_is_an_error_of_what_was_asked(store: PostgresStore) -> None:
    with pytest.raises(DBAPIError):
        await StoreDriver(store).submit("j1", priority=10**6)
    await StoreDriver(store).submit("j1")


async def test_two_that_lock_in_opposite_order_both_get_their_way(store: PostgresStore) -> None:
    """The database ends one of a circle; it is carried out again and waits for the other."""
    first, second = await StoreDriver(store).submit("j1"), await StoreDriver(store).submit("j2")
    both_have_one = asyncio.Barrier(2)
    tries: list[int] = []

    def lock(*job_ids: str) -> Callable[[Connection], None]:
        def act(conn: Connection) -> None:
            tries.append(1)
            conn.execute(text("SET LOCAL deadlock_timeout = '10ms'"))
            for number, job_id in enumerate(job_ids):
                conn.execute(text("UPDATE job SET priority = priority - 1 WHERE job_id = :id"), {"id": job_id})
                if number == 0 and len(tries) <= 2:
                    await_(both_have_one.wait())

        return act

    there, back = lock(first.job_id, second.job_id), lock(second.job_id, first.job_id)
    await asyncio.gather(store._write(there), store._write(back))
    assert len(tries) in (3, 4), "one of the two was ended, or, on a slow machine, each once"
    assert [(await StoreDriver(store).job(name)).priority for name in ("j1", "j2")] == [3, 3]


async def test_a_lock_that_is_not_given_in_time_is_a_store_that_is_away(
    opened: Opened, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connecting.SERVING, "lock_timeout", "50ms")
    drive = StoreDriver(await opened())
    await drive.submit("j1")
    other = await asyncpg.connect(url)
    async with other.transaction():
        await other.execute("SELECT * FROM job FOR UPDATE")
        with pytest.raises(StoreUnavailableError, match="lock timeout"):
            await drive.cancel("j1")
    await other.close()
    await drive.cancel("j1")


async def test_who_stalls_within_a_transaction_loses_its_locks(opened: Opened) -> None:
    stalled, other = await opened(), StoreDriver(await opened())
    await other.submit("j1")

    def stall(conn: Connection) -> None:
        conn.execute(text("SET LOCAL idle_in_transaction_session_timeout = '50ms'"))
        conn.execute(text("SELECT * FROM job FOR UPDATE"))
        await_(other.cancel("j1"))
        conn.execute(text("SELECT 1"))

    with pytest.raises(StoreUnavailableError):
        await stalled._write(stall)
    assert await other.state("j1") is JobState.CANCELLED


async def test_a_transaction_that_takes_too_long_is_cut(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store._writing, "_bound_s", 0.05)
    with pytest.raises(StoreUnavailableError):
        await store._write(run("SELECT pg_sleep(60)"))
    monkeypatch.undo()
    await StoreDriver(store).submit("j1")


async def test_a_caller_that_goes_away_takes_its_transaction_with_it(store: PostgresStore) -> None:
    begun = asyncio.Event()

    def act(conn: Connection) -> None:
        conn.execute(text("CREATE TABLE half_done (i int)"))
        begun.set()
        conn.execute(text("SELECT pg_sleep(60)"))

    task = asyncio.ensure_future(store._write(act))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await store._write(run("SELECT to_regclass('half_done')")) is None


async def test_a_lost_connection_is_a_store_that_is_away_and_the_next_is_a_new_one(
    store: PostgresStore, databases: Databases, url: str
) -> None:
    with pytest.raises(StoreUnavailableError):
        await store._write(run(DISCONNECT))
    await StoreDriver(store).submit("j1")


async def test_connections_that_were_closed_while_nobody_used_them_are_replaced_unnoticed(
    store: PostgresStore, databases: Databases, url: str
) -> None:
    drive = StoreDriver(store)
    await drive.submit("j1")
    await drive.job("j1")
    await databases.run(DISCONNECT, url)
    await drive.submit("j2")
    await drive.job("j2")


@pytest.mark.parametrize(
    ("says", "outcome"), [("cannot switch to state 15; another operation (2) is in progress", 2), ("odd answer", None)]
)
async def test_a_driver_that_fails_is_not_the_fault_of_what_was_asked(
    store: PostgresStore, says: str, outcome: int | None
) -> None:
    """The first is what it says of a connection that was just ended: nothing was sent, so it is done again."""
    drivers: list[object] = []

    def act(conn: Connection) -> int:
        drivers.append(conn.connection.driver_connection)
        if len(drivers) == 1:
            failed = AsyncAdapt_asyncpg_dbapi.InternalClientError(says)  # type: ignore[no-untyped-call]
            raise DBAPIError("SELECT 1", None, failed)
        return len(drivers)

    if outcome is None:
        with pytest.raises(StoreUnavailableError):
            await store._write(act)
    else:
        assert await store._write(act) == outcome
    await store._write(act)
    assert drivers[0] not in drivers[1:], "that connection is not used again"


async def test_what_the_server_warned_of_is_not_acknowledged(store: PostgresStore) -> None:
    """However it is worded: the text depends on the server's language."""
    with pytest.raises(StoreUnavailableError, match="warned"):
        await store._write(run("DO $$ BEGIN RAISE WARNING 'es war einmal'; END $$"))
    await StoreDriver(store).submit("j1")


async def test_reads_see_one_snapshot_and_cannot_write(store: PostgresStore) -> None:
    drive = StoreDriver(store)
    await drive.submit("j1")

    def look_twice(conn: Connection) -> tuple[int, int]:
        count = text("SELECT count(*) FROM job")
        before = conn.execute(count).scalar_one()
        await_(drive.submit("j2"))
        return before, conn.execute(count).scalar_one()

    assert await store._read(look_twice) == (1, 1)
    with pytest.raises(StoreUnavailableError, match="read-only"):
        await store._read(run("UPDATE job SET priority = 1"))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("transaction_isolation", "read committed"),
        ("synchronous_commit", "on"),
        ("statement_timeout", "0"),
        ("lock_timeout", "5s"),
        ("idle_in_transaction_session_timeout", "2s"),
    ],
)
async def test_transactions_have_their_bounds_whatever_the_database_s_own(
    store: PostgresStore, databases: Databases, setting: str, value: str
) -> None:
    """A ``statement_timeout`` would make a success of a COMMIT that its standby has not confirmed."""
    await databases.run("ALTER ROLE CURRENT_USER SET statement_timeout = '1min'")
    found = await store._write(run(f"SHOW {setting}"))
    await databases.run("ALTER ROLE CURRENT_USER RESET statement_timeout")
    assert found == value
