"""A database of their own for system tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dynwork.testing.processes import free_port
from dynwork.up.postgres import LocalPostgres, ServerOptions


@pytest.fixture
def database(tmp_path: Path) -> Iterator[LocalPostgres]:
    """A PostgreSQL server that waits for its disk, as those in production do."""
    server = LocalPostgres(ServerOptions(tmp_path / "postgres", free_port()), lambda: "secret")
    server.start()
    yield server
    server.stop()
