"""Transactions on PostgreSQL: a plain function of a ``Connection``, bounded, repeated where another was in its way.

Three things are easily got wrong here:

* **A transaction is never cancelled.** The driver would ask the server to cancel the statement, and a COMMIT that waits
  for its synchronous standby would end committed on one machine only, visible to all. Whoever gives up (the bound is
  met, the caller is gone) cuts the connection instead: the server goes on waiting, and nobody sees the rows meanwhile.
* **A warning is a failure.** "canceling wait for synchronous replication" is a mere WARNING beside a successful COMMIT.
  Its text depends on the server's language, so any warning makes the transaction count as not acknowledged.
* **A lost connection says nothing about the outcome.** It is not repeated here: the caller is told that the store is
  away, and every command may arrive twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar
from weakref import WeakSet

import asyncpg
from sqlalchemy import Connection, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from dynwork import logs
from dynwork.errors import StoreUnavailableError
from dynwork.orchestrator.store.postgres.failures import Meaning, meaning, sqlstate_of

log = logs.get("dynwork.orchestrator.store")

T = TypeVar("T")

Begin = Mapping[str, object]
"""How transactions begin: SQLAlchemy's execution options for the isolation level and the access mode."""

BOUND_S = 10.0
"""How long one transaction may take, seconds; then its connection is cut."""
POOL_WAIT_S = 5.0
"""How long a transaction waits for a free connection, seconds."""
TRIES = 5
"""How often a transaction is tried that collides with others."""
STATEMENTS_CACHED = 400
"""Prepared statements that a connection keeps: more than there are."""


class Sessions:
    """At most ``connections`` of them, each made by ``connect``, and the transactions on them."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[asyncpg.Connection]],
        connections: int,
        begin: Begin,
        bound_s: float = BOUND_S,
    ) -> None:
        """``begin``: the isolation level and the access mode. ``bound_s``: how long one transaction may take."""
        self._connect = connect
        self._bound_s = bound_s
        self._warned: WeakSet[asyncpg.Connection] = WeakSet()
        self._engine: AsyncEngine = create_async_engine(
            "postgresql+asyncpg://?prepared_statement_cache_size=" + str(STATEMENTS_CACHED),
            async_creator=self._connected,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=POOL_WAIT_S,
            execution_options=dict(begin),
        )
        event.listen(self._engine.sync_engine, "checkout", _refuse_closed)

    async def close(self) -> None:
        """Close the connections."""
        await self._engine.dispose()

    async def run(self, act: Callable[[Connection], T]) -> T:
        """Run ``act`` in a transaction, more than once if others collide with it; return what it returned.

        Raises ``StoreUnavailableError`` when the outcome is not known to be a durable commit.
        """
        for tries_left in reversed(range(TRIES)):
            try:
                return await self._uncancelled(act)
            except DBAPIError as error:
                what = meaning(error)
                if what is Meaning.DEFECT:
                    raise
                if what is Meaning.AWAY or not tries_left:
                    raise StoreUnavailableError(f"the store did not commit: {error.orig}", retry_after_s=1) from error
                log.info("transaction_repeated", sqlstate=sqlstate_of(error), tries_left=tries_left)
            except (OSError, PoolTimeoutError) as error:
                raise StoreUnavailableError(f"the store did not commit: {error}", retry_after_s=1) from error
        raise AssertionError("the last try returns or raises")

    async def _uncancelled(self, act: Callable[[Connection], T]) -> T:
        """Run one transaction in a task that ends by itself. This call owns it and never leaves it behind."""
        attempt = _Attempt()
        task = asyncio.get_running_loop().create_task(self._once(act, attempt))
        attempt.give_up = task.cancel  # as long as there is no connection: nothing was sent
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            attempt.give_up()
            await asyncio.wait([task])
            _ = task.cancelled() or task.exception()  # the caller is gone: nobody else will look at it
            raise
        return task.result()

    async def _once(self, act: Callable[[Connection], T], attempt: _Attempt) -> T:
        async with self._engine.connect() as conn:
            driver = await _driver(conn)
            attempt.give_up = driver.terminate
            watchdog = asyncio.get_running_loop().call_later(self._bound_s, driver.terminate)
            try:
                async with conn.begin():
                    done = await conn.run_sync(act)
            except DBAPIError as error:
                if sqlstate_of(error) is None and meaning(error) is not Meaning.DEFECT:
                    driver.terminate()  # it is the driver that failed: who knows in which state it is
                raise
            finally:
                watchdog.cancel()
            if driver in self._warned:
                driver.terminate()
                raise StoreUnavailableError("the store warned: what it committed may not be on a standby")
            return done

    async def _connected(self) -> asyncpg.Connection:
        connection = await self._connect()
        connection.add_log_listener(self._heard)
        return connection

    def _heard(self, connection: asyncpg.Connection, message: asyncpg.PostgresLogMessage) -> None:
        if message.severity_en == "WARNING":
            log.warning("store_warned", message=message.message)
            self._warned.add(connection)


class _Attempt:
    """How to end a transaction from outside, which changes as it goes on."""

    give_up: Callable[[], object]


async def _driver(conn: AsyncConnection) -> asyncpg.Connection:
    return (await conn.get_raw_connection()).driver_connection


def _refuse_closed(dbapi: DBAPIConnection, *_: object) -> None:
    """Let the pool replace a connection that the server has closed meanwhile: nothing was sent on it."""
    if dbapi.driver_connection.is_closed():
        raise DisconnectionError
