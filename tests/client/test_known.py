"""``submit_many`` over works that are known already: by their keys, from the feed, or no longer."""

from __future__ import annotations

import httpx
import pytest
from tests.client.many import assert_each_once, client_of, drain, expected, works

from dynwork import Work, errors
from dynwork.client import _async_many
from dynwork.testing.public_api import PublicApi


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
