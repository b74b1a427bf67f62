"""The tail of the feed in an API instance: nobody who waits is forgotten, whatever becomes of the thread."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx

from dynwork import errors
from dynwork.testing.api import ONE, TWO, ApiBench, api_instance
from dynwork.testing.orchestrators import REFUSED, FakeOrchestrators, refusing


async def enter(api: ApiBench, data: bytes = b"x") -> str:
    return str((await api.client.put("/enqueue?iterations=9", content=data)).json()["job_id"])


async def wait_for(api: ApiBench, tasks: asyncio.TaskGroup, job_id: str) -> asyncio.Task[httpx.Response]:
    waiting = tasks.create_task(api.client.get(f"/jobs/{job_id}?wait_s=30"))
    await api.clock.settle()
    return waiting


def positions_followed(api: ApiBench) -> list[str]:
    asked = [call.url.params for call in api.far.calls if call.url.path == "/internal/tail"]
    return [params["after"] for params in asked if "wait_s" in params]


async def test_what_ends_after_the_first_look_and_before_the_tail_has_its_place_is_not_missed() -> None:
    async with api_instance(FakeOrchestrators()) as api, asyncio.TaskGroup() as tasks:
        job_id = await enter(api)
        reached, released = asyncio.Event(), asyncio.Event()

        async def slow(request: httpx.Request, answer: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
            if request.url.path == "/internal/tail" and "wait_s" not in request.url.params:
                reached.set()
                await released.wait()
            return await answer()

        api.far.fail(ONE, slow, forever=True)
        waiting = await wait_for(api, tasks, job_id)
        await reached.wait()
        api.far.finish(job_id, "ab" * 64)
        released.set()
        await api.clock.settle()
        assert waiting.done()
        assert (await waiting).json()["state"] == "succeeded"


async def test_what_ended_while_nobody_waited_is_not_read_up_on() -> None:
    async with api_instance(FakeOrchestrators()) as api, asyncio.TaskGroup() as tasks:
        ids = [await enter(api, data=b"%d" % number) for number in range(4)]
        waiting = await wait_for(api, tasks, ids[0])
        for job_id in ids[:3]:
            api.far.finish(job_id, "ab" * 64)
            await api.clock.settle()
        assert (await waiting).status_code == 200
        waiting = await wait_for(api, tasks, ids[3])
        assert positions_followed(api) == ["0", "1", "3"]
        api.far.finish(ids[3], "ab" * 64)
        assert (await waiting).status_code == 200


async def test_what_ended_while_no_orchestrator_answered_is_seen_afterwards() -> None:
    async with api_instance(FakeOrchestrators()) as api, asyncio.TaskGroup() as tasks:
        job_id, other = await enter(api), await enter(api, data=b"y")
        waiting = await wait_for(api, tasks, job_id)
        for url in (ONE, TWO):
            api.far.fail(url, REFUSED, forever=True)
        api.far.finish(other, "ab" * 64)  # the parked call returns; the next finds nobody
        await api.clock.settle()
        assert (await waiting).json()["code"] == "no_orchestrator", "it looked again, and says why it cannot wait"
        for url in (ONE, TWO):
            api.far.heal(url)
        again = await wait_for(api, tasks, job_id)
        await api.clock.advance(10)
        api.far.finish(job_id, "cd" * 64)
        await api.clock.advance(1)
        assert (await again).json()["state"] == "succeeded"


async def test_an_orchestrator_that_does_not_know_the_tail_does_not_end_the_instance() -> None:
    async with api_instance(FakeOrchestrators()) as api, asyncio.TaskGroup() as tasks:
        job_id = await enter(api)

        async def older(request: httpx.Request, answer: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
            refused = refusing(errors.NotFoundError("there is no page '/internal/tail' here"))
            return await (refused(request, answer) if request.url.path == "/internal/tail" else answer())

        for url in (ONE, TWO):
            api.far.fail(url, older, forever=True)
        waiting = await wait_for(api, tasks, job_id)
        api.far.finish(job_id, "ab" * 64)
        await api.clock.advance(1)
        assert (await waiting).json()["state"] == "succeeded", "it looks again after each failure"


async def test_a_tail_whose_place_is_no_longer_kept_lets_everybody_look_and_goes_on_from_the_newest() -> None:
    async with api_instance(FakeOrchestrators()) as api, asyncio.TaskGroup() as tasks:
        ids = [await enter(api, data=b"%d" % number) for number in range(4)]
        lost, later = [await wait_for(api, tasks, job_id) for job_id in (ids[1], ids[3])]
        for job_id in ids[:3]:
            api.far.views[job_id] = api.far.views[job_id].model_copy(
                update={"state": "succeeded", "completed_at": "2026-01-01T00:00:00Z"}
            )
        api.far.ended += ids[:3]
        api.far.retired = 3  # it ended and fell out of the feed before the tail came by
        api.far.something_ended.set()
        await api.clock.settle()
        assert (await lost).json()["state"] == "succeeded"
        assert not later.done()
        api.far.finish(ids[3], "cd" * 64)
        assert (await later).json()["state"] == "succeeded"


async def test_while_nobody_waits_nothing_is_asked() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        await enter(api)
        await api.clock.advance(60)
        assert not [call for call in api.far.calls if call.url.path == "/internal/tail"]


async def test_who_has_left_leaves_no_trace() -> None:
    async with api_instance(FakeOrchestrators()) as api, asyncio.TaskGroup() as tasks:
        job_id = await enter(api)
        feed = tasks.create_task(api.client.get("/results?wait_s=30"))
        waiting = [await wait_for(api, tasks, job_id) for _ in range(2)]
        api.far.finish(job_id, "ab" * 64)
        assert {(await one).status_code for one in (feed, *waiting)} == {200}
        assert (api.api.tail._by_job, api.api.tail._by_owner) == ({}, {})


async def test_the_parked_call_outlasts_the_time_that_it_asks_for() -> None:
    async with api_instance(FakeOrchestrators()) as api, asyncio.TaskGroup() as tasks:
        job_id = await enter(api)
        waiting = await wait_for(api, tasks, job_id)
        (parked,) = (call for call in api.far.calls if "wait_s" in call.url.params)
        assert parked.extensions["timeout"]["read"] > int(parked.url.params["wait_s"])
        api.far.finish(job_id, "ab" * 64)
        assert (await waiting).status_code == 200
