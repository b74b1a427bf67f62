"""Bodies that take their time: what is not kept may come as slowly as it likes, what is kept must be here soon, and
whoever stands still gives back what it took and keeps nobody else from being served.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from dynwork import errors
from dynwork.api import room
from dynwork.api.room import Room
from dynwork.clock import Clock
from dynwork.testing.api import ApiBench, api_instance
from dynwork.testing.orchestrators import FakeOrchestrators

ENQUEUE = ("PUT", "/enqueue?iterations=3")
BULK = ("POST", "/jobs")
MESSAGE = json.dumps({"jobs": [{"data": "aGVsbG8=", "iterations": 3}]}).encode()
FITTING = b" " * 600_000 + MESSAGE
"""Longer than what is short."""
KEYS: dict[str, Any] = {"api_keys": ("one:one", "two:two")}


async def trickling(clock: Clock, pieces: list[bytes], pause_s: float) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
        await clock.sleep(pause_s)


async def stalled(begun: bytes) -> AsyncIterator[bytes]:
    yield begun
    await asyncio.Event().wait()


def key(owner: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {owner}"}


async def sent(
    tasks: asyncio.TaskGroup, api: ApiBench, call: tuple[str, str], **how: Any
) -> asyncio.Task[httpx.Response]:
    """Begin a request; return when what there is of it has arrived."""
    client = how.pop("client", api.client)
    task = tasks.create_task(client.request(*call, **how))
    await api.clock.settle()
    return task


async def test_a_buffer_may_come_for_twenty_minutes_as_long_as_it_does_not_stand_still() -> None:
    async with api_instance(FakeOrchestrators()) as api, asyncio.TaskGroup() as tasks:
        slow = await sent(tasks, api, ENQUEUE, content=trickling(api.clock, [b"x"] * 21, 59))
        await api.clock.advance(21 * 59 - 1)
        assert not slow.done()
        await api.clock.advance(1)
        assert (await slow).status_code == 202


async def test_a_message_may_come_in_pieces_as_long_as_it_is_here_within_a_minute() -> None:
    pieces = [bytes([byte]) for byte in MESSAGE]
    async with api_instance(FakeOrchestrators()) as api, asyncio.TaskGroup() as tasks:
        soon = await sent(tasks, api, BULK, content=trickling(api.clock, pieces, 59 / len(pieces)))
        late = await sent(tasks, api, BULK, content=trickling(api.clock, pieces, 61 / len(pieces)))
        await api.clock.advance(59.5)
        assert (await soon).status_code == 202
        assert not late.done()
        await api.clock.advance(1)
        assert ((await late).status_code, (await late).json()["code"]) == (408, "body_too_slow")
        assert "not complete after 60 s" in (await late).json()["detail"]


@pytest.mark.parametrize(("call", "still_s"), [(ENQUEUE, 60), (BULK, 10)], ids=["buffer", "message"])
async def test_a_body_that_stands_still_is_refused_in_its_own_words_and_leaves_its_place(
    call: tuple[str, str], still_s: int
) -> None:
    async with api_instance(FakeOrchestrators(), submit_pending_max=1) as api, asyncio.TaskGroup() as tasks:
        waiting = await sent(tasks, api, call, content=stalled(b"begun"))
        await api.clock.advance(still_s - 0.5)
        assert not waiting.done()
        await api.clock.advance(1)
        answer = await waiting
        assert (answer.status_code, answer.json()["code"]) == (408, "body_too_slow")
        assert f"no byte of the body came for {still_s} s (5 bytes came)" in answer.json()["detail"]
        assert answer.headers["Connection"] == "close"
        assert (await api.client.request(*call, content=MESSAGE)).status_code == 202


async def test_an_owner_whose_messages_stand_still_keeps_no_other_out_and_gets_its_room_back() -> None:
    async with api_instance(FakeOrchestrators(), **KEYS) as api, asyncio.TaskGroup() as tasks:
        longest = b" " * (16 * 1024**2 - 1)
        holding = await sent(tasks, api, BULK, content=stalled(longest), headers=key("one"))
        own = await api.client.request(*BULK, content=FITTING, headers=key("one"))
        assert (own.status_code, own.json()["code"]) == (503, "unavailable")
        assert "of your bulk submissions" in own.json()["detail"]
        other = await api.client.request(*BULK, content=longest[: -len(MESSAGE)] + MESSAGE, headers=key("two"))
        assert other.status_code == 202
        await api.clock.advance(11)
        assert (await holding).status_code == 408
        assert (await api.client.request(*BULK, content=FITTING, headers=key("one"))).status_code == 202


async def test_four_connections_that_stand_still_keep_no_short_message_out_and_no_long_one_for_long() -> None:
    async with api_instance(FakeOrchestrators()) as api, asyncio.TaskGroup() as tasks:
        idle = []
        for port in range(1, 5):
            client = httpx.AsyncClient(
                transport=httpx.ASGITransport(api.app, client=("127.0.0.1", port)), base_url="http://127.0.0.1:8000"
            )
            body = stalled(b" " * (16 * 1024**2 - 1))
            idle.append(await sent(tasks, api, BULK, content=body, client=client))
        assert [task.done() for task in idle] == [False, False, True, True], "there is room for two"
        assert (await api.client.request(*BULK, content=MESSAGE)).status_code == 202
        assert (await api.client.request(*BULK, content=FITTING)).status_code == 503
        await api.clock.advance(11)
        assert [(await task).status_code for task in idle] == [408, 408, 503, 503]
        assert (await api.client.request(*BULK, content=FITTING)).status_code == 202


def test_all_messages_together_are_bounded_and_what_one_held_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "BYTES_MAX", 20)
    monkeypatch.setattr(room, "ASIDE_BYTES_MAX", 3)
    monkeypatch.setattr(room, "SHORT_BYTES_MAX", 2)
    held = Room(longest_bytes=5)
    with held.message("one") as first, held.message("two") as second:
        first.add(b"0123456789")
        second.add(b"012345")
        with held.message("three") as third, held.message("four") as fourth:
            third.add(b"0123")
            with pytest.raises(errors.UnavailableError):
                third.add(b"4")
            fourth.add(b"01")
            with pytest.raises(errors.UnavailableError):
                fourth.add(b"2")
        with held.message("three") as fifth:
            fifth.add(b"0123")
    with held.message("one") as last:
        last.add(b"0123456789")


def test_nobody_holds_more_than_half_in_however_many_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "BYTES_MAX", 20)
    held = Room(longest_bytes=5)
    with held.message("one") as first, held.message("one") as second:
        first.add(b"012345")
        second.add(b"0123")
        with pytest.raises(errors.UnavailableError):
            second.add(b"4")
    with held.message("one") as third:
        third.add(b"0123456789")


def test_the_longest_message_that_is_allowed_finds_room_however_long_it_may_be() -> None:
    longest = room.BYTES_MAX
    with Room(longest).message("one") as message:
        message.add(b" " * longest)
