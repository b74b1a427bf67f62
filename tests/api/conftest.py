"""Logs in these tests: quiet, unless a test asks for them."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog
from structlog.typing import EventDict


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.fixture
def told() -> Iterator[list[EventDict]]:
    """Return the list that every event is put into, debug included."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG))
    with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as events:
        yield events
