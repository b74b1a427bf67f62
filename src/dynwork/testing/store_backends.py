"""The engines that the contract suite and the scenarios run over."""

from __future__ import annotations

import itertools
from pathlib import Path

from dynwork.orchestrator.store.memory import MemoryStore
from dynwork.orchestrator.store.port import Rules, Store
from dynwork.orchestrator.store.sqlite import SqliteStore


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
