"""``follow``: the feed from where it was left, nothing skipped, whatever happens to the reader."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynwork import AsyncClient, Client, errors
from dynwork.testing.public_api import PublicApi, VirtualTime

URL = "http://api.test"


async def filled(jobs: int) -> PublicApi:
    api = PublicApi(per_look=3)
    async with client_of(api) as client:
        for number in range(jobs):
            await client.submit(b"%d" % number, 7)
    return api


def client_of(api: PublicApi) -> AsyncClient:
    return AsyncClient(URL, outside=VirtualTime().outside(api))


async def read(client: AsyncClient, count: int, cursor_file: Path | None = None) -> list[str]:
    """Consume ``count`` entries and end in the middle of whatever comes then."""
    found = []
    async for result in client.follow(cursor_file=cursor_file):
        found.append(result.job_id)
        if len(found) == count:
            break
    return found


async def test_everything_that_ends_is_told_in_order() -> None:
    api = await filled(10)
    async with client_of(api) as client:
        assert await read(client, 10) == list(api.jobs)


async def test_a_reader_that_starts_again_goes_on_and_what_was_not_consumed_comes_again(tmp_path: Path) -> None:
    api = await filled(10)
    cursor_file = tmp_path / "cursor"
    ids = list(api.jobs)
    async with client_of(api) as client:
        assert await read(client, 4, cursor_file) == ids[:4]  # a page of three was consumed, and one of the next
    async with client_of(api) as client:
        assert await read(client, 7, cursor_file) == ids[3:]


async def test_the_cursor_is_not_written_before_the_page_is_consumed(tmp_path: Path) -> None:
    api = await filled(3)
    async with client_of(api) as client:
        await read(client, 3, tmp_path / "cursor")
    assert not (tmp_path / "cursor").exists()


async def test_a_cursor_given_by_hand_is_for_the_first_time_only(tmp_path: Path) -> None:
    api = await filled(10)
    (tmp_path / "cursor").write_text("5\n")
    async with client_of(api) as client:
        async for result in client.follow("2", cursor_file=tmp_path / "cursor"):
            assert result.job_id == list(api.jobs)[5]
            break


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\0" * 10, b"two\nlines\n", "é".encode()])
async def test_a_file_that_holds_no_cursor_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    cursor_file = tmp_path / "picture"
    cursor_file.write_bytes(content)
    async with client_of(await filled(1)) as client:
        with pytest.raises(errors.ConfigurationError, match="picture holds no cursor"):
            await read(client, 1, cursor_file)
    assert cursor_file.read_bytes() == content


async def test_without_waiting_it_ends_where_the_feed_does_now(tmp_path: Path) -> None:
    api, cursor_file = await filled(7), tmp_path / "cursor"
    async with client_of(api) as client:
        told = [result.job_id async for result in client.follow(cursor_file=cursor_file, wait=False)]
        assert told == list(api.jobs)
        assert [result async for result in client.follow(cursor_file=cursor_file, wait=False)] == []
    assert all("wait_s" not in request.url.params for request in api.requests)


async def test_an_expired_cursor_is_told(tmp_path: Path) -> None:
    api = await filled(1)
    api.expire = 1
    async with client_of(api) as client:
        with pytest.raises(errors.CursorExpiredError):
            await read(client, 1, tmp_path / "cursor")


def test_the_synchronous_client_does_the_same(tmp_path: Path) -> None:
    api, cursor_file = PublicApi(per_look=2), tmp_path / "cursor"
    with Client(URL, outside=VirtualTime().outside_sync(api)) as client:
        ids = [client.submit(b"%d" % number, 7) for number in range(5)]
        told = client.follow(cursor_file=cursor_file)
        assert [next(told).job_id for _ in ids] == ids
    assert cursor_file.read_text() == "4\n"
