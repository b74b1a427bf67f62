"""A real PostgreSQL for tests: one server a session, a fresh database a test.

The server (:class:`~dynwork.up.postgres.LocalPostgres`) does not wait for the disk: no test pulls the plug. A database
is copied from a template that was migrated once.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from dynwork.orchestrator.store.postgres import PostgresStore
from dynwork.orchestrator.store.values import Rules
from dynwork.up.ports import free_api_port
from dynwork.up.postgres import LocalPostgres, ServerOptions

IN_A_HURRY = {
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "checkpoint_timeout": "1h",
}
Opened = Callable[..., Awaitable[PostgresStore]]
"""Opens another orchestrator's store over the database of a test; it may be given its rules."""
_TEMPLATE = "migrated"
_EMPTY = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid();
    TRUNCATE job, worker, instance, orchestrator, tally;
    UPDATE cluster SET position = 0, retired_position = 0;
    UPDATE leadership SET holder = '', epoch = 0, until = 0;
"""


@contextmanager
def local_postgres(folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[LocalPostgres]:
    """Run a server in ``folder`` for as long as the block lasts; ``settings`` on top of :data:`IN_A_HURRY`."""
    options = ServerOptions(folder, free_api_port(), {**IN_A_HURRY, **(settings or {})})
    server = LocalPostgres(options, lambda: "for tests")
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Databases:
    """Makes databases in one server, each empty but for the schema."""

    def __init__(self, server: LocalPostgres) -> None:
        self._server = server
        self._number = itertools.count(1)
        self._template_is_made = False
        self._unused: list[str] = []

    async def fresh(self) -> str:
        """Return the URL of a database that nobody else uses: one that was given back, or a new one."""
        return self._unused.pop() if self._unused else await self.new()

    async def new(self, template: str = _TEMPLATE) -> str:
        """Return the URL of a new database, a copy of ``template``."""
        if not self._template_is_made:
            await self.run(f"CREATE DATABASE {_TEMPLATE}")
            store = PostgresStore(self._server.url(_TEMPLATE), Rules(), "nobody")
            await store.open()
            await store.close()
            self._template_is_made = True
        name = f"test_{next(self._number)}"
        await self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self._server.url(name)

    async def give_back(self, url: str) -> None:
        """Disconnect everybody, empty the database and keep it for the next: a third of what a new one takes."""
        await self.run(_EMPTY, url)
        self._unused.append(url)

    async def drop(self, url: str) -> None:
        """Delete a database that is not to be used again, whoever is connected to it."""
        await self.run(f"DROP DATABASE {urlsplit(url).path.removeprefix('/')} WITH (FORCE)")

    async def run(self, statements: str, url: str | None = None) -> None:
        """Run ``statements`` beside everybody else, in the database of ``url`` if one is named."""
        connection = await asyncpg.connect(url or self._server.url())
        try:
            await connection.execute(statements)
        finally:
            await connection.close()
