"""What tests of PostgreSQL share: an empty database, and orchestrators' stores over it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from dynwork.orchestrator.store.postgres import PostgresStore
from dynwork.orchestrator.store.values import Rules
from dynwork.testing.postgres import Databases, Opened
from dynwork.testing.store_contract import RULES


@pytest.fixture
async def url(databases: Databases) -> AsyncIterator[str]:
    url = await databases.fresh()
    yield url
    await databases.give_back(url)


@pytest.fixture
async def opened(url: str) -> AsyncIterator[Opened]:
    """Open stores over one database, each another orchestrator's."""
    stores: list[PostgresStore] = []

    async def open_one(rules: Rules = RULES) -> PostgresStore:
        store = PostgresStore(url, rules, f"http://orchestrator-{len(stores)}")
        await store.open()
        stores.append(store)
        return store

    yield open_one
    for store in stores:
        await store.close()


@pytest.fixture
async def store(opened: Opened) -> PostgresStore:
    return await opened()
