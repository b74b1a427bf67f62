"""``submit`` and its like: every work gets one result, whatever goes wrong on the way."""

from __future__ import annotations

import hashlib
import itertools
import json
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from dynwork import AsyncClient, Client, Digest, Result, Work, errors
from dynwork.client import _async_many
from dynwork.kinds import DEFAULT_KIND
from dynwork.testing.public_api import PublicApi, VirtualTime, problem

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


async def test_every_work_gets_its_own_result() -> None:
    await assert_each_once(PublicApi(), works(2500))


@pytest.mark.parametrize("window", [1, 2, 7, 300])
async def test_no_more_than_the_window_are_under_way(window: int) -> None:
    api = PublicApi(per_look=3)
    await assert_each_once(api, works(400), window)
    assert api.most_open <= window


async def test_works_are_read_no_faster_than_results_come() -> None:
    api, taken = PublicApi(per_look=5), 0

    def endless() -> Iterator[Work]:
        nonlocal taken
        for number in itertools.count():
            taken += 1
            yield Work(b"%d" % number, 1)

    async with client_of(api) as client:
        pairs = client.submit_many(endless(), window=100)
        for _ in range(20):
            await anext(pairs)
        await pairs.aclose()  # type: ignore[attr-defined]  # it is a generator
    assert taken <= 200


async def test_what_is_held_is_bounded_by_the_window() -> None:
    """200 MB pass through, of which 2 MB are under way at a time."""
    stream = (Work(bytes([number % 256]) * 100_000, 1, key=f"{number}") for number in range(2000))
    tracemalloc.start()
    try:
        async with client_of(PublicApi(per_look=5)) as client:
            ended = [work.key async for work, _ in client.submit_many(stream, window=20)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(set(ended)) == 2000
    assert peak < 20e6


async def test_works_may_come_from_an_asynchronous_source() -> None:
    async def source() -> AsyncIterator[Work]:
        for work in works(30):
            yield work

    async with client_of(PublicApi()) as client:
        assert set(await drain(client.submit_many(source(), window=7))) == set(works(30))


async def test_nothing_to_do_is_done_at_once() -> None:
    async with client_of(PublicApi()) as client:
        assert await drain(client.submit_many([])) == {}


def test_the_synchronous_client_does_the_same() -> None:
    api = PublicApi()
    with Client(URL, outside=VirtualTime().outside_sync(api)) as client:
        found = dict(client.submit_many(works(50), window=20))
    assert {work: result.value() for work, result in found.items()} == {work: expected(work) for work in works(50)}


async def test_answers_lost_and_refused_anywhere_change_nothing() -> None:
    api = PublicApi()
    lost = [httpx.ReadError("cut"), None, problem(503, "no_orchestrator"), None, None, httpx.ReadTimeout("silent")]
    api.lost = itertools.cycle(lost)
    await assert_each_once(api, works(400), window=50)


async def test_items_that_cannot_be_taken_just_now_are_handed_in_again() -> None:
    api = PublicApi()
    api.unavailable = 25
    await assert_each_once(api, works(40), window=30)
    bulks = [json.loads(request.content)["jobs"] for request in api.requests if request.method == "POST"]
    assert [len(bulk) for bulk in bulks[:2]] == [30, 25], "only those that were not taken"


async def test_while_some_are_taken_patience_is_not_at_its_end() -> None:
    class Slow(PublicApi):
        """Takes one item of a call."""

        def __call__(self, request: httpx.Request) -> httpx.Response:
            self.unavailable = len(json.loads(request.content)["jobs"]) - 1 if request.method == "POST" else 0
            return super().__call__(request)

    async with client_of(Slow(), patience_s=0.2) as client:
        assert len(await client.submit_all(works(30))) == 30


async def test_what_cannot_be_taken_for_too_long_raises() -> None:
    api = PublicApi()
    api.unavailable = 10**9
    async with client_of(api, patience_s=5) as client:
        with pytest.raises(errors.QueueFullError):
            await drain(client.submit_many(works(3)))


async def test_a_work_that_ended_before_this_run_is_looked_up() -> None:
    api = PublicApi()
    given = [Work(b"%d" % number, 1, key=f"k{number}") for number in range(20)]
    async with client_of(api) as client:
        await drain(client.submit_many(given[:10]))
        found = await drain(client.submit_many(given))
    assert set(found) == set(given)
    assert len(api.jobs) == 20
    assert sum(request.method == "GET" and "/jobs/" in request.url.path for request in api.requests) == 10


async def test_with_a_cursor_from_before_nothing_is_looked_up() -> None:
    api = PublicApi()
    given = [Work(b"%d" % number, 1, key=f"k{number}") for number in range(20)]
    async with client_of(api) as client:
        before = await client.position()
        await drain(client.submit_many(given[:10]))
        found = await drain(client.submit_many(given, after=before))
    assert set(found) == set(given)
    assert [request for request in api.requests if "/jobs/" in request.url.path] == []


async def test_behind_a_cursor_that_expired_what_is_known_is_looked_up_again() -> None:
    api = PublicApi()
    given = [Work(b"%d" % number, 1, key=f"k{number}") for number in range(20)]
    async with client_of(api) as client:
        before = await client.position()
        await drain(client.submit_many(given))
        api.expire = 1
        found = await drain(client.submit_many(given, window=5, after=before))
    assert set(found) == set(given)


async def test_works_that_share_a_key_share_the_result() -> None:
    api = PublicApi()
    one, two = Work(b"same", 7, key="k"), Work(b"same", 7, 5, key="k")
    async with client_of(api) as client:
        results = [result async for _, result in client.submit_many([one, two])]
    assert len(results) == 2
    assert results[0].job_id == results[1].job_id


@pytest.mark.parametrize("kept", [10_000, 3])
async def test_with_a_cursor_from_before_a_key_that_comes_again_after_its_end_has_its_result_again(
    kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_async_many, "KEPT_MAX", kept)
    given = [Work(b"%d" % (number % 10), 1, key=f"k{number % 10}") for number in range(30)]
    async with client_of(PublicApi(per_look=5)) as client:
        before = await client.position()
        pairs = client.submit_many(given, window=2, after=before)
        told = [(work, result.value()) async for work, result in pairs]
    assert sorted(told, key=lambda pair: str(pair[0].key)) == [
        (work, expected(work)) for work in sorted(given, key=lambda work: str(work.key))
    ]


@pytest.mark.parametrize(("kept", "looks"), [(10_000, 0), (20, 80)])
async def test_started_again_what_the_feed_told_too_early_is_kept_or_looked_up(
    kept: int, looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All have ended, and one page of the feed tells of all; but works are handed in a few at a time."""
    monkeypatch.setattr(_async_many, "KEPT_MAX", kept)
    api = PublicApi()
    given = [Work(b"%d" % number, 1, key=f"k{number}") for number in range(100)]
    async with client_of(api) as client:
        before = await client.position()
        await drain(client.submit_many(given))
        found = await drain(client.submit_many(given, window=5, after=before))
    assert {work: result.value() for work, result in found.items()} == {work: expected(work) for work in given}
    assert sum("/jobs/" in request.url.path for request in api.requests) <= looks


async def test_what_ended_behind_a_cursor_that_expired_is_looked_up() -> None:
    api = PublicApi(per_look=5)
    api.expire = 1
    await assert_each_once(api, works(30))


async def test_what_retention_has_taken_before_it_was_told_keeps_nobody_up() -> None:
    class Forgetting(PublicApi):
        """Deletes the first job when a cursor expires."""

        def __call__(self, request: httpx.Request) -> httpx.Response:
            answer = super().__call__(request)
            if answer.status_code == 410:
                del self.jobs[self.feed[0]]
            return answer

    api, given = Forgetting(per_look=5), works(30)
    api.expire = 1
    async with client_of(api) as client:
        found = await drain(client.submit_many(given))
    assert [found[work].state for work in given] == ["forgotten", *["succeeded"] * 29]
    with pytest.raises(errors.NotFoundError):
        found[given[0]].value()


async def test_jobs_that_end_otherwise_are_results_too() -> None:
    api = PublicApi()
    api.ends_as = lambda job: ("dead", "cancelled", "succeeded")[job.item["iterations"] % 3]
    async with client_of(api) as client:
        found = await drain(client.submit_many(works(9)))
    assert sorted(result.state for result in found.values()) == sorted(["dead", "cancelled", "succeeded"] * 3)
    for result in found.values():
        if result.state == "dead":
            with pytest.raises(errors.JobDeadError, match="kind_error"):
                result.value()


async def test_what_is_refused_alone_is_a_result_and_keeps_nobody_up(tmp_path: Path) -> None:
    bad = [Work(b"x", 0), Work(tmp_path / "missing", 7), Work(b"", 7), Work(Digest("ab" * 64), 7, kind=OTHER)]
    given = [*works(5), *bad]
    async with client_of(PublicApi()) as client:
        found = await drain(client.submit_many(given))
    assert [work for work in given if found[work].state == "refused"] == bad
    assert [type(found[work].error) for work in bad] == [
        errors.InvalidInputError,
        errors.InvalidInputError,
        errors.EmptyBodyError,
        errors.InvalidInputError,
    ]
    assert "missing cannot be read: No such file" in str(found[bad[1]].error)


async def test_a_wrong_key_raises_even_for_one_work() -> None:
    api = PublicApi()
    api.faults = iter([problem(401, "unauthorized")])
    async with client_of(api) as client:
        with pytest.raises(errors.UnauthorizedError):
            await client.submit(b"x", 7)
