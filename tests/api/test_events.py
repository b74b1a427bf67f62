"""``GET /events``: what pages that watch are shown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack
from typing import Any

import httpx
import pytest

from dynwork.api import board
from dynwork.api.events import COMMENT, RETRY, stream
from dynwork.testing.api import ONE, TWO, ApiBench, api_instance, api_listening
from dynwork.testing.orchestrator_memory import FLEET, STATS
from dynwork.testing.orchestrators import REFUSED, FakeOrchestrators
from dynwork.testing.raw import connected, head

KEYS: dict[str, Any] = {"api_keys": ("one:one", "two:two", "chief[admin]:chief")}


async def enter(api: ApiBench, key: str = "one", data: bytes = b"x") -> str:
    headers = {"Authorization": f"Bearer {key}"}
    return str((await api.client.put("/enqueue?iterations=9", content=data, headers=headers)).json()["job_id"])


class Page:
    """One stream, read event by event under virtual time."""

    def __init__(self, api: ApiBench, whose: str | None) -> None:
        self._place = ExitStack()
        watcher = self._place.enter_context(api.api.board.watching(whose))
        self._events: AsyncGenerator[bytes] = stream(api.api.board, watcher, api.clock)

    async def begin(self) -> None:
        assert await anext(self._events) == RETRY

    async def next(self) -> tuple[str, Any]:
        event = (await anext(self._events)).decode()
        name, data = event.removesuffix("\n\n").split("\n")
        return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))

    async def raw(self) -> bytes:
        return await anext(self._events)

    async def close(self) -> None:
        await self._events.aclose()
        self._place.close()


async def begun(api: ApiBench, whose: str | None = "local") -> Page:
    """Return a page that was shown the numbers."""
    page = Page(api, whose)
    await page.begin()
    assert [await page.next(), await page.next()] == [
        ("stats", STATS.model_dump(mode="json")),
        ("fleet", FLEET.model_dump(mode="json")),
    ]
    return page


async def test_a_page_that_leaves_leaves_nothing_behind() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        page, other = await begun(api), await begun(api)
        await page.close()
        assert api.api.tail.waiting == 1, "the other still watches the same owner's results"
        await other.close()
        assert api.api.tail.waiting == 0
        asked = len(api.far.calls)
        await api.clock.advance(30)
        assert len(api.far.calls) <= asked + 3, "nobody watches, nobody asks"


async def test_results_are_shown_as_they_end_to_their_owner_and_to_an_admin() -> None:
    async with api_instance(FakeOrchestrators(), **KEYS) as api, asyncio.TaskGroup() as tasks:
        mine, theirs = await enter(api, "one"), await enter(api, "two")
        one, chief = await begun(api, "one"), await begun(api, None)
        await api.clock.advance(1)
        api.far.finish(theirs, "ab" * 64)
        shown = tasks.create_task(chief.next())
        await api.clock.advance(2)
        name, results = await shown
        assert (name, [entry["job_id"] for entry in results]) == ("results", [theirs])
        api.far.finish(mine, "cd" * 64)
        shown = tasks.create_task(one.next())
        await api.clock.advance(2)
        name, results = await shown
        assert (name, [entry["job_id"] for entry in results]) == ("results", [mine])
        await one.close()
        await chief.close()


async def test_a_key_watches_the_results_of_its_owner_and_an_admin_s_everybody_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with api_instance(FakeOrchestrators(), **KEYS) as api:
        api.api.stop()  # a stream ends at once
        watched: list[str | None] = []
        watching = api.api.board.watching

        def noted(whose: str | None) -> AbstractContextManager[board.Watcher]:
            watched.append(whose)
            return watching(whose)

        monkeypatch.setattr(api.api.board, "watching", noted)
        for key in ("one", "two", "chief"):
            answer = await api.client.get("/events?owner=two", headers={"Authorization": f"Bearer {key}"})
            assert answer.status_code == 200
        assert watched == ["one", "two", None]


async def test_of_a_flood_only_the_newest_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "TOLD_MAX", 2)
    async with api_instance(FakeOrchestrators()) as api, asyncio.TaskGroup() as tasks:
        ids = [await enter(api, data=b"%d" % number) for number in range(5)]
        page = await begun(api)
        await api.clock.advance(1)
        for job_id in ids:
            api.far.finish(job_id, "ab" * 64)
        shown = tasks.create_task(page.next())
        await api.clock.advance(2)
        assert [entry["job_id"] for entry in (await shown)[1]] == ids[-2:]
        await page.close()


async def test_what_comes_behind_a_flood_is_told_from_the_newest_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "READ_MAX", 2)
    async with api_instance(FakeOrchestrators()) as api, asyncio.TaskGroup() as tasks:
        ids = [await enter(api, data=b"%d" % number) for number in range(7)]
        page = await begun(api)
        await api.clock.advance(1)
        for job_id in ids[:6]:
            api.far.finish(job_id, "ab" * 64)
        shown = tasks.create_task(page.next())
        await api.clock.advance(2)
        assert [entry["job_id"] for entry in (await shown)[1]] == ids[:2]
        shown = tasks.create_task(page.next())
        await api.clock.advance(5)
        api.far.finish(ids[6], "ab" * 64)
        await api.clock.advance(2)
        assert [entry["job_id"] for entry in (await shown)[1]] == ids[6:], "those between are left out"
        await page.close()


async def test_a_quiet_stream_is_kept_open_by_comments() -> None:
    async with api_instance(FakeOrchestrators()) as api, asyncio.TaskGroup() as tasks:
        page = await begun(api)
        for _ in range(2):
            sent = tasks.create_task(page.raw())
            await api.clock.advance(14)
            assert not sent.done()
            await api.clock.advance(2)
            assert await sent == COMMENT
        await page.close()


async def test_a_page_is_told_when_nothing_can_be_shown_and_shown_it_again_afterwards() -> None:
    async with api_instance(FakeOrchestrators()) as api, asyncio.TaskGroup() as tasks:
        page = await begun(api)
        for url in (ONE, TWO):
            api.far.fail(url, REFUSED, forever=True)
        shown = tasks.create_task(page.next())
        await api.clock.advance(3)
        assert await shown == ("trouble", {"code": "no_orchestrator"})
        for url in (ONE, TWO):
            api.far.heal(url)
        shown = tasks.create_task(page.next())
        await api.clock.advance(10)
        assert shown.done(), "nothing has changed, and that is what the page must hear"
        assert (await shown)[0] == "stats"
        job_id = await enter(api)
        api.far.finish(job_id, "ab" * 64)
        shown = tasks.create_task(page.next())
        await api.clock.advance(3)
        assert (await shown)[0] == "results"
        await page.close()


async def test_a_page_that_comes_in_trouble_is_told_of_it_last() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        first = await begun(api)
        await api.clock.advance(1)
        job_id = await enter(api)
        api.far.finish(job_id, "ab" * 64)
        await api.clock.advance(2)
        for url in (ONE, TWO):
            api.far.fail(url, REFUSED, forever=True)
        await api.clock.advance(3)
        page = Page(api, "local")
        await page.begin()
        assert [(await page.next())[0] for _ in range(4)] == ["results", "stats", "fleet", "trouble"]
        await page.close()
        await first.close()


async def test_however_many_watch_the_numbers_are_asked_for_once() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        pages = [await begun(api) for _ in range(10)]
        before = len([call for call in api.far.calls if call.url.path == "/internal/stats"])
        await api.clock.advance(5)
        asked = len([call for call in api.far.calls if call.url.path == "/internal/stats"]) - before
        assert 1 <= asked <= 6
        for page in pages:
            await page.close()


async def test_more_pages_than_may_watch_are_refused_before_the_stream_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "WATCHERS_MAX", 1)
    async with api_instance(FakeOrchestrators()) as api:
        page = await begun(api)
        answer = await api.client.get("/events")
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        await page.close()


async def test_of_pages_that_come_at_the_same_moment_as_many_are_served_as_may_watch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(board, "WATCHERS_MAX", 3)
    async with api_listening(FakeOrchestrators()) as (api, port), AsyncExitStack() as connections:
        pages = [await connections.enter_async_context(connected(port)) for _ in range(10)]
        for _, writer in pages:
            writer.write(head("GET /events"))
        begun = [(await reader.readline()).split()[1] for reader, _ in pages]
        assert sorted(begun) == [b"200"] * 3 + [b"503"] * 7
        api.api.stop()


async def test_a_browser_is_served_a_stream_that_ends_when_the_role_stops() -> None:
    async with api_listening(FakeOrchestrators()) as (api, port), httpx.AsyncClient() as client:
        async with client.stream("GET", f"http://127.0.0.1:{port}/events") as answer:
            assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert answer.headers["cache-control"] == "no-store"
            lines = answer.aiter_lines()
            assert await anext(lines) == "retry: 2000"
            assert [await anext(lines), await anext(lines)] == ["", "event: stats"]
            api.api.stop()
            assert [line async for line in lines][-1] == ""
        assert api.api.tail.waiting == 0
