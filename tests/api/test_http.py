"""What only a real server and raw sockets can show: bodies that break off, lie about their length, or never end."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
import pytest

from dynwork.testing.api import ONE, api_listening
from dynwork.testing.orchestrators import Answer, FakeOrchestrators, held

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(port: int) -> AsyncGenerator[Streams]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


def head(*headers: str, query: str = "iterations=3") -> bytes:
    return "\r\n".join([f"PUT /enqueue?{query} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, bytes, bytes]:
    """Return status, header lines and body of the next answer on the connection."""
    headers = await reader.readuntil(b"\r\n\r\n")
    length = int(headers.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return int(headers.split()[1]), headers.lower(), await reader.readexactly(length)


async def test_a_chunked_body_is_hashed_whole() -> None:
    async with api_listening(FakeOrchestrators()) as (api, port), connected(port) as (reader, writer):
        writer.write(head("Transfer-Encoding: chunked"))
        for piece in (b"5\r\nhello\r\n", b"6\r\n world\r\n", b"0\r\n\r\n"):
            writer.write(piece)
            await writer.drain()
        status, _, body = await answer_of(reader)
        assert status == 202
        (job,) = api.far.jobs.values()
        assert job.job_id.encode() in body
        assert job.state == hashlib.sha512(b"hello world").digest()


async def test_a_large_body_arrives_whole_and_the_connection_is_used_again() -> None:
    buffer = bytes(range(256)) * 16 * 1024  # 4 MiB
    async with api_listening(FakeOrchestrators()) as (api, port), connected(port) as (reader, writer):
        for _ in range(2):
            writer.write(head(f"Content-Length: {len(buffer)}") + buffer)
            assert (await answer_of(reader))[0] == 202
        assert {job.state for job in api.far.jobs.values()} == {hashlib.sha512(buffer).digest()}


@pytest.mark.parametrize(
    "begun",
    [
        head("Content-Length: 1000") + b"x" * 999,
        head("Content-Length: 1000"),
        head("Transfer-Encoding: chunked") + b"3e8\r\n" + b"x" * 1000 + b"\r\n",
        head("Transfer-Encoding: chunked") + b"3e8\r\n" + b"x" * 500,
    ],
    ids=["one byte short", "nothing after the headers", "no last chunk", "in the middle of a chunk"],
)
async def test_a_client_that_goes_away_in_mid_body_has_submitted_nothing(begun: bytes) -> None:
    async with api_listening(FakeOrchestrators()) as (api, port):
        async with connected(port) as (_, writer):
            writer.write(begun)
            await writer.drain()
        gone = 0.0
        while not gone:  # until the server has noticed
            await asyncio.sleep(0)
            gone = await api.metric("dynwork_api_requests_total", method="PUT", route="/enqueue", status="400")
        assert api.far.calls == []
        assert await api.metric("dynwork_api_pending_submissions") == 0


async def test_what_follows_a_body_longer_than_announced_is_no_request_and_never_part_of_the_buffer() -> None:
    async with api_listening(FakeOrchestrators()) as (api, port):
        async with connected(port) as (reader, writer):
            writer.write(head("Content-Length: 5") + b"hello-and-much-more")
            answers = await reader.read()  # to the end: the server closes
            assert b"HTTP/1.1 400" in answers
        assert {job.state for job in api.far.jobs.values()} <= {hashlib.sha512(b"hello").digest()}
        async with connected(port) as (reader, writer):
            writer.write(head("Content-Length: 5") + b"hello")
            assert (await answer_of(reader))[0] == 202


@pytest.mark.parametrize("headers", [["Content-Length: 0"], ["Transfer-Encoding: chunked"], []])
async def test_an_empty_body_is_refused(headers: list[str]) -> None:
    async with api_listening(FakeOrchestrators()) as (api, port), connected(port) as (reader, writer):
        writer.write(head(*headers) + (b"0\r\n\r\n" if "Transfer-Encoding: chunked" in headers else b""))
        status, _, body = await answer_of(reader)
        assert (status, b'"empty_body"' in body) == (400, True)
        assert api.far.calls == []


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("iterations=0", 422, b"invalid_input"),
        ("iterations=3&kind=unheard-of", 422, b"unknown_kind"),
        ("", 422, b"invalid_input"),
    ],
)
async def test_bad_parameters_are_refused_before_any_of_the_body_was_sent(query: str, status: int, code: bytes) -> None:
    async with api_listening(FakeOrchestrators()) as (_, port), connected(port) as (reader, writer):
        writer.write(head("Content-Length: 1000", query=query))
        found, _, body = await answer_of(reader)
        assert found == status
        assert code in body


async def test_an_announced_length_beyond_the_limit_is_refused_before_any_of_the_body_was_sent() -> None:
    async with (
        api_listening(FakeOrchestrators(), body_bytes_max=1000) as (_, port),
        connected(port) as (reader, writer),
    ):
        writer.write(head("Content-Length: 1001", "Expect: 100-continue"))
        status, headers, body = await answer_of(reader)  # and not "100 Continue"
        assert (status, b'"body_too_large"' in body) == (413, True)
        assert b"connection: close" in headers
        assert await reader.read() == b""


async def test_an_endless_body_is_cut_off_in_mid_stream() -> None:
    async with (
        api_listening(FakeOrchestrators(), body_bytes_max=10_000) as (api, port),
        connected(port) as (
            reader,
            writer,
        ),
    ):
        writer.write(head("Transfer-Encoding: chunked"))
        for _ in range(11):
            writer.write(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
            await writer.drain()
        status, headers, body = await answer_of(reader)  # the body goes on: there was no last chunk
        assert (status, b'"body_too_large"' in body) == (413, True)
        assert b"connection: close" in headers
        assert api.far.calls == []


async def test_a_client_that_waits_for_100_continue_gets_it() -> None:
    async with api_listening(FakeOrchestrators()) as (_, port), connected(port) as (reader, writer):
        writer.write(head("Content-Length: 5", "Expect: 100-continue"))
        assert b" 100 " in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"hello")
        assert (await answer_of(reader))[0] == 202


async def test_a_client_that_goes_away_while_it_waits_for_the_answer_has_submitted_all_the_same() -> None:
    reached, released, durable = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow(_request: httpx.Request, answer: Answer) -> httpx.Response:
        reached.set()
        await released.wait()
        response = await answer()
        durable.set()
        return response

    async with api_listening(FakeOrchestrators()) as (api, port):
        api.far.fail(ONE, slow)
        async with connected(port) as (_, writer):
            writer.write(head("Content-Length: 5") + b"hello")
            await reached.wait()
        released.set()
        await durable.wait()
        assert len(api.far.jobs) == 1


async def test_a_stop_answers_what_was_accepted_before_it_ends() -> None:
    reached, released = asyncio.Event(), asyncio.Event()
    async with api_listening(FakeOrchestrators()) as (api, port), connected(port) as (reader, writer):
        api.far.fail(ONE, held(reached, released))
        writer.write(head("Content-Length: 5") + b"hello")
        await reached.wait()
        api.stop.set()
        released.set()
        assert (await answer_of(reader))[0] == 202
        assert len(api.far.jobs) == 1
