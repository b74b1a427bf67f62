"""``submit`` and its like: every work gets one result, whatever goes wrong on the way."""

from __future__ import annotations

import itertools
import json
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.client.many import OTHER, URL, assert_each_once, client_of, drain, expected, works

from dynwork import AsyncClient, Client, Digest, Result, Work, errors
from dynwork.testing.public_api import PublicApi, VirtualTime, problem


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


async def test_what_a_slow_source_has_given_is_handed_in_and_told_before_it_is_asked_for_more() -> None:
    api, time = PublicApi(), VirtualTime()
    handed_in: list[int] = []
    told: list[Work] = []

    def slow() -> Iterator[Work]:
        for work in works(5):
            time.now += 10
            handed_in.append(len(api.jobs))
            assert len(told) == len(api.jobs)
            yield work

    async with AsyncClient(URL, outside=time.outside(api)) as client:
        async for work, _ in client.submit_many(slow()):
            told.append(work)
    assert (handed_in, told) == ([0, 1, 2, 3, 4], works(5))


def test_the_synchronous_client_waits_for_a_slow_source_no_longer() -> None:
    api, time = PublicApi(), VirtualTime()
    handed_in: list[int] = []

    def slow() -> Iterator[Work]:
        for work in works(9):
            time.now += 0.125
            handed_in.append(len(api.jobs))
            yield work

    with Client(URL, outside=time.outside_sync(api)) as client:
        assert len(list(client.submit_many(slow()))) == 9
    assert handed_in == [0, 0, 2, 2, 4, 4, 6, 6, 8]


class BrokenError(Exception):
    """What a source raises."""


def plain(*things: object) -> Iterator[Any]:
    for thing in things:
        if isinstance(thing, Exception):
            raise thing
        yield thing


async def asynchronous(*things: object) -> AsyncIterator[Any]:
    for thing in plain(*things):
        yield thing


@pytest.mark.parametrize("source", [plain, asynchronous])
@pytest.mark.parametrize(("last", "raised"), [(BrokenError(), BrokenError), (None, TypeError), ("name", TypeError)])
async def test_what_a_source_gave_before_it_broke_is_told_first(
    source: Callable[..., Any], last: object, raised: type[Exception]
) -> None:
    told: list[Work] = []

    async def tell(pairs: AsyncIterator[tuple[Work, Result]]) -> None:
        async for work, result in pairs:
            told.append(work)
            assert result.value() == expected(work)

    async with client_of(PublicApi(per_look=3)) as client:
        with pytest.raises(raised):
            await tell(client.submit_many(source(*works(20), last, *works(5)), window=10))
    assert len(told) == 20
    assert set(told) == set(works(20))


def test_the_synchronous_client_tells_first_too() -> None:
    told: list[Work] = []
    with Client(URL, outside=VirtualTime().outside_sync(PublicApi())) as client:
        pairs = client.submit_many(plain(*works(20), BrokenError()))
        with pytest.raises(BrokenError):
            told.extend(work for work, _ in pairs)
    assert told == works(20)


@pytest.mark.parametrize("source", [plain, asynchronous])
async def test_a_generator_is_closed_with_the_run(source: Callable[..., Any]) -> None:
    given = source(*works(100))
    async with client_of(PublicApi()) as client:
        pairs = client.submit_many(given, window=10)
        await anext(pairs)
        await pairs.aclose()  # type: ignore[attr-defined]  # it is a generator
    rest = [work async for work in given] if source is asynchronous else list(given)
    assert rest == []


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
