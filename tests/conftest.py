"""What all tests share: the profiles of hypothesis, and the stores."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from dynwork.testing.store_backends import MemoryBackend, SqliteBackend

for suite in ("store_contract", "store_driver", "store_twins", "scenario", "provider_contract", "kind_contract"):
    pytest.register_assert_rewrite(f"dynwork.testing.{suite}")

# Fast: in every `make check`. Deep: HYPOTHESIS_PROFILE=deep, for a long look at the stores (about ten minutes).
settings.register_profile(
    "fast", max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
settings.register_profile(
    "deep", max_examples=400, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.fixture(params=["memory", "sqlite"])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MemoryBackend | SqliteBackend]:
    """Make stores of one engine, for tests that must hold for all."""
    backend = MemoryBackend() if request.param == "memory" else SqliteBackend(tmp_path)
    yield backend
    await backend.close()
