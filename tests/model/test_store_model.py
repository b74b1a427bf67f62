"""Every engine lives the random lives of :class:`dynwork.testing.store_cluster.Cluster` like the reference."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import settings

from dynwork.orchestrator.store.port import Store
from dynwork.orchestrator.store.postgres import PostgresStore
from dynwork.orchestrator.store.sqlite import SqliteStore
from dynwork.testing.postgres import Databases
from dynwork.testing.store_cluster import Cluster
from dynwork.testing.store_strategies import RULES


class SqliteCluster(Cluster):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()

    def make(self) -> Store:
        return SqliteStore(Path(self.folder.name) / "dynwork.db", RULES)

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


class PostgresCluster(Cluster):
    databases: ClassVar[Databases]

    def __init__(self) -> None:
        super().__init__()
        self.url = asyncio.run(self.databases.fresh())

    def make(self) -> Store:
        return PostgresStore(self.url, RULES, "http://first")

    def teardown(self) -> None:
        super().teardown()
        asyncio.run(self.databases.give_back(self.url))


# A server answers slower than a file: a third of the lives, or more with another profile (tests/conftest.py).
PostgresCluster.TestCase.settings = settings(max_examples=settings().max_examples // 3)

TestSqliteAgainstTheReference = SqliteCluster.TestCase


@pytest.mark.thorough
class TestPostgresAgainstTheReference(PostgresCluster.TestCase):  # type: ignore[misc,valid-type] # made by hypothesis
    @pytest.fixture(autouse=True)
    def _server(self, databases: Databases) -> None:
        PostgresCluster.databases = databases
