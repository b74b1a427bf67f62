from collections.abc import AsyncIterator, Iterator, MutableMapping
from typing import Any

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from dynwork.testing.orchestrator import Bench, running


@pytest.fixture(autouse=True)
def events() -> Iterator[list[MutableMapping[str, Any]]]:
    """What is logged, instead of printing it."""
    with capture_logs() as captured:
        yield captured


@pytest_asyncio.fixture
async def bench() -> AsyncIterator[Bench]:
    """A running orchestrator with the default settings, in virtual time."""
    async with running() as one:
        yield one
