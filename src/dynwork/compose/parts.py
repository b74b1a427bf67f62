"""What every role is built from."""

from __future__ import annotations

import random
from collections.abc import Callable

import httpx


def randomness() -> Callable[[], float]:
    """Return what draws from [0, 1): it spreads load and jitters delays, and guards nothing."""
    return random.Random().random  # noqa: S311


def internal_client() -> httpx.AsyncClient:
    """Return the client for talking to orchestrators: no proxies from the environment, connections kept open."""
    return httpx.AsyncClient(
        trust_env=False,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=60),
    )
