"""The store that an orchestrator is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection, text

from dynwork.errors import ConfigurationError
from dynwork.ids import new_id
from dynwork.orchestrator.core.job import Instant
from dynwork.orchestrator.store import checking
from dynwork.orchestrator.store.migrate import migrate
from dynwork.orchestrator.store.postgres.connecting import SERVING, UNBOUNDED, Connector
from dynwork.orchestrator.store.postgres.hearing import SETTINGS, Hearing
from dynwork.orchestrator.store.postgres.sessions import Begin, Sessions
from dynwork.orchestrator.store.transactions import Transactions
from dynwork.orchestrator.store.values import News, Rules

WRITERS, READERS = 4, 4
"""Connections: rounds come one at a time; the sweep, the leader, the scaler and the registry go beside them."""
LONG_S = 3600.0
"""How long a migration (waiting for another who does it included) and a check may take, seconds."""
VERSION_MIN = (15, 0)
_SNAPSHOT = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
_TIME = text("SELECT extract(epoch FROM clock_timestamp())::double precision")

T = TypeVar("T")


class PostgresStore(Transactions):
    """A :class:`dynwork.orchestrator.store.port.Store` in the database that ``dsn``, a libpq URL, names."""

    def __init__(self, dsn: str, rules: Rules, shard: str) -> None:
        """``shard``: this orchestrator's URL, which no other process has."""
        super().__init__(rules, shard)
        self._connector = Connector(dsn)
        serving = partial(self._connector.connect, SERVING)
        self._writing = Sessions(serving, WRITERS, {"isolation_level": "READ COMMITTED"})
        self._reading = Sessions(serving, READERS, _SNAPSHOT)
        self._hearing = Hearing(partial(self._connector.connect, {**SERVING, **SETTINGS}), shard)
        self._cluster_id = ""

    async def open(self) -> None:
        """See :meth:`Store.open`. Several may open, and so migrate, at the same time."""
        self._cluster_id = await self._take_long(_opened, {})

    async def close(self) -> None:
        """See :meth:`Store.close`."""
        await self._writing.close()
        await self._reading.close()

    async def cluster_id(self) -> str:
        """See :meth:`Store.cluster_id`."""
        return self._cluster_id

    async def check(self) -> Sequence[str]:
        """See :meth:`Store.check`."""
        return await self._take_long(checking.broken, _SNAPSHOT)

    # -- orchestrators side by side
    async def time(self) -> Instant:
        """See :meth:`Store.time`."""
        return await self._read(lambda conn: float(conn.execute(_TIME).scalar_one()))

    async def announce(self, news: News) -> None:
        """See :meth:`Store.announce`."""
        await self._hearing.announce(news)

    async def listen(self, heed: Callable[[News], None]) -> None:
        """See :meth:`Store.listen`. One's own announcements are not among them."""
        await self._hearing.listen(heed)

    # -- transactions
    async def _write(self, act: Callable[[Connection], T]) -> T:
        return await self._writing.run(act)

    async def _read(self, act: Callable[[Connection], T]) -> T:
        return await self._reading.run(act)

    async def _take_long(self, act: Callable[[Connection], T], begin: Begin) -> T:
        """Run ``act`` on a connection of its own, without the bounds of those that serve."""
        session = Sessions(partial(self._connector.connect, UNBOUNDED), 1, begin, LONG_S)
        try:
            return await session.run(act)
        finally:
            await session.close()


def _opened(conn: Connection) -> str:
    version = conn.dialect.server_version_info or ()
    if version < VERSION_MIN:
        raise ConfigurationError(f"PostgreSQL {VERSION_MIN[0]} or later is needed; this is {version[0]}")
    if conn.exec_driver_sql("SHOW synchronous_commit").scalar() == "off":
        raise ConfigurationError("synchronous_commit is off here: what is acknowledged would not be durable")
    return migrate(conn, new_id())
