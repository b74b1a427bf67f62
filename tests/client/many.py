"""Works for ``submit_many``, and what must hold of their results."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

from dynwork import AsyncClient, Result, Work
from dynwork.kinds import DEFAULT_KIND
from dynwork.testing.public_api import PublicApi, VirtualTime

URL = "http://api.test"
OTHER = "odd-kind"
"""A kind that is not built in: its buffers travel."""


def client_of(api: PublicApi, patience_s: float = 60.0) -> AsyncClient:
    return AsyncClient(URL, patience_s=patience_s, outside=VirtualTime().outside(api))


def works(count: int, kind: str = DEFAULT_KIND) -> list[Work]:
    return [Work(b"buffer %d" % number, 1 + number, kind=kind) for number in range(count)]


def expected(work: Work) -> str:
    assert isinstance(work.data, bytes)
    return hashlib.sha512(work.data).hexdigest()


async def drain(pairs: AsyncIterator[tuple[Work, Result]]) -> dict[Work, Result]:
    found: dict[Work, Result] = {}
    async for work, result in pairs:
        assert work not in found, "a work was told twice"
        found[work] = result
    return found


async def assert_each_once(api: PublicApi, given: list[Work], window: int = 5000) -> dict[Work, Result]:
    async with client_of(api) as client:
        found = await drain(client.submit_many(given, window=window))
    assert set(found) == set(given)
    assert all(result.value() == expected(work) for work, result in found.items())
    assert len(api.jobs) == len(given), "nothing was handed in twice"
    return found
