"""What only a real server and raw sockets can show of a connection: who waits, who goes, who is answered at a stop."""

from __future__ import annotations

import asyncio
import hashlib

import httpx
import pytest

from dynwork.testing.api import ONE, api_listening
from dynwork.testing.orchestrators import Answer, FakeOrchestrators, held
from dynwork.testing.raw import answer_of, connected, head

ENQUEUE = "PUT /enqueue?iterations=3"


async def test_a_large_body_arrives_whole_and_the_connection_is_used_again() -> None:
    buffer = bytes(range(256)) * 16 * 1024  # 4 MiB
    async with api_listening(FakeOrchestrators()) as (api, port), connected(port) as (reader, writer):
        for _ in range(2):
            writer.write(head(ENQUEUE, f"Content-Length: {len(buffer)}") + buffer)
            assert (await answer_of(reader))[0] == 202
        assert {job.state for job in api.far.jobs.values()} == {hashlib.sha512(buffer).digest()}


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
        writer.write(head(f"PUT /enqueue?{query}", "Content-Length: 1000"))
        found, _, body = await answer_of(reader)
        assert found == status
        assert code in body


async def test_a_client_that_waits_for_100_continue_gets_it() -> None:
    async with api_listening(FakeOrchestrators()) as (_, port), connected(port) as (reader, writer):
        writer.write(head(ENQUEUE, "Content-Length: 5", "Expect: 100-continue"))
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
            writer.write(head(ENQUEUE, "Content-Length: 5") + b"hello")
            await reached.wait()
        released.set()
        await durable.wait()
        assert len(api.far.jobs) == 1


async def test_a_stop_answers_what_was_accepted_before_it_ends() -> None:
    reached, released = asyncio.Event(), asyncio.Event()
    async with api_listening(FakeOrchestrators()) as (api, port), connected(port) as (reader, writer):
        api.far.fail(ONE, held(reached, released))
        writer.write(head(ENQUEUE, "Content-Length: 5") + b"hello")
        await reached.wait()
        api.stop.set()
        released.set()
        assert (await answer_of(reader))[0] == 202
        assert len(api.far.jobs) == 1
