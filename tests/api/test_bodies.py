"""Bodies over a real server that break off, lie about their length, never end or are not there: for every route that
reads one, what is not whole is never submitted, leaves nothing behind, and keeps nobody else from being served.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from contextlib import AsyncExitStack

import pytest

from dynwork.api import room
from dynwork.testing.api import ApiBench, api_listening
from dynwork.testing.orchestrators import FakeOrchestrators
from dynwork.testing.raw import LAST_CHUNK, answer_of, chunks, connected, head

BUFFER = b"hello world, and more of it"
BODIES = {
    "PUT /enqueue?iterations=3": BUFFER,
    "POST /jobs": json.dumps({"jobs": [{"data": base64.b64encode(BUFFER).decode(), "iterations": 3}]}).encode(),
}
"""For each route that reads a body, one that submits :data:`BUFFER`."""
CHUNKED = "Transfer-Encoding: chunked"

pytestmark = pytest.mark.parametrize("request_line", BODIES)


async def until_answered(api: ApiBench, request_line: str, status: int, times: int) -> None:
    """Return when so many requests to the route were answered with ``status``, though their clients are gone."""
    method, target = request_line.split()
    labels = {"method": method, "route": target.split("?")[0], "status": str(status)}
    seen = 0.0
    while seen < times:
        await asyncio.sleep(0)  # the server's turn
        seen = await api.metric("dynwork_api_requests_total", **labels)


async def test_a_chunked_body_is_put_together_in_order(request_line: str) -> None:
    body = BODIES[request_line]
    async with api_listening(FakeOrchestrators()) as (api, port), connected(port) as (reader, writer):
        writer.write(head(request_line, CHUNKED))
        for piece in (body[:1], body[1:9], body[9:]):
            writer.write(chunks([piece]))
            await writer.drain()
        writer.write(LAST_CHUNK)
        status, _, answer = await answer_of(reader)
        (job,) = api.far.jobs.values()
        assert (status, job.job_id.encode() in answer) == (202, True)
        assert job.state == hashlib.sha512(BUFFER).digest()


@pytest.mark.parametrize("cut", ["nothing came", "one byte short", "no last chunk", "inside a chunk"])
async def test_a_client_that_goes_away_in_mid_body_has_submitted_nothing(
    request_line: str, cut: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = BODIES[request_line]
    begun = {
        "nothing came": head(request_line, f"Content-Length: {len(body)}"),
        "one byte short": head(request_line, f"Content-Length: {len(body)}") + body[:-1],
        "no last chunk": head(request_line, CHUNKED) + chunks([body]),
        "inside a chunk": head(request_line, CHUNKED) + chunks([body])[:-9],
    }[cut]
    for name in ("BYTES_MAX", "ASIDE_BYTES_MAX"):
        monkeypatch.setattr(room, name, 0)  # there is room for two of the longest
    limits = {"submit_pending_max": 1, "body_bytes_max": len(body)}
    async with api_listening(FakeOrchestrators(), **limits) as (api, port):
        for times in (1, 2, 3):
            async with connected(port) as (_, writer):
                writer.write(begun)
                await writer.drain()
            await until_answered(api, request_line, 400, times)
        assert api.far.calls == []
        async with connected(port) as (reader, writer):  # what they took was given back
            writer.write(head(request_line, f"Content-Length: {len(body)}") + body)
            assert (await answer_of(reader))[0] == 202


async def test_what_follows_the_announced_length_is_no_part_of_the_body(request_line: str) -> None:
    body = BODIES[request_line]
    async with api_listening(FakeOrchestrators()) as (api, port):
        async with connected(port) as (reader, writer):
            writer.write(head(request_line, f"Content-Length: {len(body)}") + body + b"and-much-more")
            answers = await reader.read()  # to the end: the server closes
        assert b"HTTP/1.1 400" in answers
        assert {job.state for job in api.far.jobs.values()} <= {hashlib.sha512(BUFFER).digest()}


@pytest.mark.parametrize(
    "headers",
    [
        ["Content-Length: -5"],
        ["Content-Length: 0x10"],
        ["Content-Length: 5, 6"],
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: 5", CHUNKED],
        ["Transfer-Encoding: chunked, identity"],
    ],
    ids=", ".join,
)
async def test_a_length_that_can_be_read_in_two_ways_is_refused_before_the_body(
    request_line: str, headers: list[str]
) -> None:
    async with api_listening(FakeOrchestrators()) as (api, port), connected(port) as (reader, writer):
        writer.write(head(request_line, *headers) + LAST_CHUNK)
        answer = await reader.read()  # to the end: nobody knows where a request would begin
        assert answer.startswith(b"HTTP/1.1 400")
        assert b"content-type: text/plain" in answer, "as the reference says of what the server itself refuses"
        assert api.far.calls == []


async def test_a_body_of_the_longest_length_passes_in_chunks_and_one_byte_more_ends_it(request_line: str) -> None:
    body = BODIES[request_line]
    async with api_listening(FakeOrchestrators(), body_bytes_max=len(body)) as (api, port):
        async with connected(port) as (reader, writer):
            writer.write(head(request_line, CHUNKED) + chunks([body]) + LAST_CHUNK)
            assert (await answer_of(reader))[0] == 202
        async with connected(port) as (reader, writer):
            writer.write(head(request_line, CHUNKED) + chunks([body, b" "]))  # and it would go on
            status, headers, answer = await answer_of(reader)
            assert (status, b'"body_too_large"' in answer) == (413, True)
            assert b"connection: close" in headers
            assert await reader.read() == b""
        assert len(api.far.jobs) == 1


async def test_an_announced_length_beyond_the_limit_is_refused_before_any_of_the_body_was_sent(
    request_line: str,
) -> None:
    async with (
        api_listening(FakeOrchestrators(), body_bytes_max=1000) as (_, port),
        connected(port) as (reader, writer),
    ):
        writer.write(head(request_line, "Content-Length: 1001", "Expect: 100-continue"))
        status, headers, answer = await answer_of(reader)  # and not "100 Continue"
        assert (status, b'"body_too_large"' in answer) == (413, True)
        assert b"connection: close" in headers
        assert await reader.read() == b""


@pytest.mark.parametrize(("headers", "sent"), [(["Content-Length: 0"], b""), ([CHUNKED], LAST_CHUNK), ([], b"")])
async def test_an_empty_body_is_refused(request_line: str, headers: list[str], sent: bytes) -> None:
    expected = (400, b'"empty_body"') if "/enqueue" in request_line else (422, b'"invalid_input"')
    async with api_listening(FakeOrchestrators()) as (api, port), connected(port) as (reader, writer):
        writer.write(head(request_line, *headers) + sent)
        status, _, answer = await answer_of(reader)
        assert (status, expected[1] in answer) == (expected[0], True)
        assert api.far.calls == []


async def test_fifty_bodies_that_trickle_keep_nobody_else_waiting(request_line: str) -> None:
    body = BODIES[request_line]
    async with api_listening(FakeOrchestrators()) as (api, port), AsyncExitStack() as connections:
        slow = [await connections.enter_async_context(connected(port)) for _ in range(50)]
        for _, writer in slow:
            writer.write(head(request_line, f"Content-Length: {len(body)}"))
        for place in range(len(body)):
            for _, writer in slow:
                writer.write(body[place : place + 1])
            if place % 10 == 0:
                async with connected(port) as (reader, writer):
                    writer.write(head(request_line, f"Content-Length: {len(body)}") + body)
                    assert (await answer_of(reader))[0] == 202
                assert not any(reader.at_eof() for reader, _ in slow)
        assert [(await answer_of(reader))[0] for reader, _ in slow] == [202] * 50
        assert {job.state for job in api.far.jobs.values()} == {hashlib.sha512(BUFFER).digest()}
