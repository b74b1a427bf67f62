"""The engines that the contract suite and the scenarios run over."""

from __future__ import annotations

import itertools
from pathlib import Path

from dynwork.orchestrator.store.memory import MemoryStore
from dynwork.orchestrator.store.port import Store
from dynwork.orchestrator.store.postgres import PostgresStore
from dynwork.orchestrator.store.sqlite import SqliteStore
from dynwork.orchestrator.store.values import Rules
from dynwork.testing.postgres import Databases


class MemoryBackend:
    """Stores in memory: closing keeps everything."""

    async def fresh(self, rules: Rules) -> Store:
        """See :meth:`dynwork.testing.store_contract.Backend.fresh`."""
        store = MemoryStore(rules)
        await store.open()
        return store

    async def restart(self, store: Store) -> Store:
        """See :meth:`dynwork.testing.store_contract.Backend.restart`."""
        await store.close()
        await store.open()
        return store

    async def close(self) -> None:
        """Nothing is left open."""


class SqliteBackend:
    """A file in ``folder`` for each store: a copy of one that was migrated once, which takes a tenth of the time."""

    _empty: bytes | None = None

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = itertools.count()
        self._open: dict[Store, tuple[Path, Rules]] = {}

    async def fresh(self, rules: Rules) -> Store:
        """See :meth:`dynwork.testing.store_contract.Backend.fresh`."""
        path = self._folder / f"{next(self._number)}.db"
        if SqliteBackend._empty is None:
            store = SqliteStore(path, rules)
            await store.open()
            await store.close()
            SqliteBackend._empty = path.read_bytes()
        path.write_bytes(SqliteBackend._empty)
        return await self._opened(path, rules)

    async def restart(self, store: Store) -> Store:
        """See :meth:`dynwork.testing.store_contract.Backend.restart`."""
        path, rules = self._open.pop(store)
        await store.close()
        return await self._opened(path, rules)

    async def close(self) -> None:
        """Close every store that is open."""
        for store in self._open:
            await store.close()

    async def _opened(self, path: Path, rules: Rules) -> Store:
        store = SqliteStore(path, rules)
        await store.open()
        self._open[store] = (path, rules)
        return store


class PostgresBackend:
    """A database for each store."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self._open: dict[PostgresStore, tuple[str, Rules]] = {}
        self._made: list[str] = []

    async def fresh(self, rules: Rules) -> Store:
        """See :meth:`dynwork.testing.store_contract.Backend.fresh`."""
        url = await self._databases.fresh()
        self._made.append(url)
        return await self.beside(url, rules)

    async def restart(self, store: Store) -> Store:
        """See :meth:`dynwork.testing.store_contract.Backend.restart`."""
        assert isinstance(store, PostgresStore)
        url, rules = self._open.pop(store)
        await store.close()
        return await self.beside(url, rules)

    async def beside(self, url: str, rules: Rules, shard: str = "http://first") -> PostgresStore:
        """Open a store over a database that was made before: another orchestrator, if its ``shard`` is another."""
        store = PostgresStore(url, rules, shard)
        await store.open()
        self._open[store] = (url, rules)
        return store

    async def close(self) -> None:
        """Close every store that is open, and give the databases back."""
        for store in self._open:
            await store.close()
        for url in self._made:
            await self._databases.give_back(url)
