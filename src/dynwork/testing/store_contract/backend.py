"""What the suite needs from an engine, and the policies that it runs under."""

from __future__ import annotations

from typing import Protocol

import pytest

from dynwork.orchestrator.core.leasing import LeasePolicy
from dynwork.orchestrator.core.retry import RetryPolicy
from dynwork.orchestrator.store.port import Store
from dynwork.orchestrator.store.values import Rules
from dynwork.testing.store_driver import StoreDriver

RULES = Rules(
    leasing=LeasePolicy(lease_s=9.0, prefetch_s=1.0, batch_max=8),
    retry=RetryPolicy(attempts_max=3, losses_max=2, backoff_s=1.0, backoff_s_max=60.0),
    queue_jobs_max=20,
)
"""Small bounds, so that tests meet them."""


class Backend(Protocol):
    """Makes open stores of one engine; closes what it made when the test is over."""

    async def fresh(self, rules: Rules) -> Store:
        """Make an empty store."""
        ...

    async def restart(self, store: Store) -> Store:
        """Close the store and open another on what it left behind."""
        ...


class StoreContract:
    """Base of the suites: ``drive`` is an empty store with :data:`RULES`."""

    @pytest.fixture
    async def drive(self, backend: Backend) -> StoreDriver:
        """Make the store under test."""
        return StoreDriver(await backend.fresh(RULES))
