"""What all tests share: the profiles of hypothesis, and the stores."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from dynwork.testing.postgres import Databases, local_postgres
from dynwork.testing.store_backends import MemoryBackend, PostgresBackend, SqliteBackend

for suite in (
    "store_contract",
    "store_driver",
    "store_twins",
    "store_cluster",
    "store_invariants",
    "store_pages",
    "scenario",
    "provider_contract",
    "kind_contract",
):
    pytest.register_assert_rewrite(f"dynwork.testing.{suite}")

# Fast: in every `make check`. Deep: HYPOTHESIS_PROFILE=deep, for a long look at the stores (about ten minutes).
settings.register_profile(
    "fast", max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
settings.register_profile(
    "deep", max_examples=400, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """Make databases in a PostgreSQL server that runs until the last test."""
    with local_postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield Databases(server)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def backend(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[MemoryBackend | SqliteBackend | PostgresBackend]:
    """Make stores of one engine, for tests that must hold for all."""
    backend: MemoryBackend | SqliteBackend | PostgresBackend = MemoryBackend()
    if request.param == "sqlite":
        backend = SqliteBackend(tmp_path)
    elif request.param == "postgres":
        backend = PostgresBackend(request.getfixturevalue("databases"))
    yield backend
    await backend.close()
