"""``wait_s``: answered when it ends, whoever waits; one call to an orchestrator for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from dynwork.api import gateway, tail
from dynwork.api.tail import Waiter
from dynwork.clock import SystemClock
from dynwork.ids import new_id
from dynwork.testing.api import ONE, ApiBench, api_instance, api_listening
from dynwork.testing.orchestrators import FakeOrchestrators, held

KEYS: dict[str, Any] = {"api_keys": ("one:one", "two:two", "chief[admin]:chief")}


async def enter(api: ApiBench, key: str = "one", data: bytes = b"x") -> str:
    headers = {"Authorization": f"Bearer {key}"}
    return str((await api.client.put("/enqueue?iterations=9", content=data, headers=headers)).json()["job_id"])


class Waiting:
    """Requests under way."""

    def __init__(self, api: ApiBench, tasks: asyncio.TaskGroup) -> None:
        self._api = api
        self._tasks = tasks

    async def get(self, path: str, key: str = "one") -> asyncio.Task[httpx.Response]:
        headers = {"Authorization": f"Bearer {key}"}
        task = self._tasks.create_task(self._api.client.get(path, headers=headers))
        await self._api.clock.settle()
        return task


async def eventually(look: Callable[[], bool], what: str) -> None:
    """Wait for what real sockets do."""
    clock = SystemClock()
    deadline = clock.monotonic() + 20
    while not look():
        assert clock.monotonic() < deadline, what
        await clock.sleep(0.01)


def tail_calls(api: ApiBench) -> list[httpx.Request]:
    return [call for call in api.far.calls if call.url.path == "/internal/tail" and "wait_s" in call.url.params]


async def test_a_job_is_answered_when_it_ends_and_not_before() -> None:
    async with api_instance(FakeOrchestrators()) as api, asyncio.TaskGroup() as tasks:
        job_id = await enter(api)
        waiting = await Waiting(api, tasks).get(f"/jobs/{job_id}?wait_s=30")
        await api.clock.advance(29)
        assert not waiting.done()
        api.far.finish(job_id, "ab" * 64)
        answer = await waiting
        assert (answer.json()["state"], answer.json()["hash"]) == ("succeeded", "ab" * 64)


async def test_a_job_that_does_not_end_is_shown_as_it_is_when_the_time_is_up() -> None:
    async with api_instance(FakeOrchestrators()) as api, asyncio.TaskGroup() as tasks:
        job_id = await enter(api)
        waiting = await Waiting(api, tasks).get(f"/jobs/{job_id}?wait_s=7")
        await api.clock.advance(6.9)
        assert not waiting.done()
        await api.clock.advance(0.2)
        assert (await waiting).json()["state"] == "queued"


async def test_a_job_that_has_ended_is_answered_at_once() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        job_id = await enter(api)
        api.far.kill(job_id)
        assert (await api.client.get(f"/jobs/{job_id}?wait_s=30")).json()["state"] == "dead"
        assert (await api.client.get(f"/jobs/{new_id()}?wait_s=30")).status_code == 404


async def test_however_many_wait_one_call_is_parked_and_only_those_concerned_look_again() -> None:
    async with api_instance(FakeOrchestrators()) as api, asyncio.TaskGroup() as tasks:
        ids = [await enter(api, data=b"%d" % number) for number in range(50)]
        requests = Waiting(api, tasks)
        waiting = [await requests.get(f"/jobs/{job_id}?wait_s=30") for job_id in ids]
        assert len(tail_calls(api)) == 1
        looks = len([call for call in api.far.calls if call.url.path == f"/internal/jobs/{ids[1]}"])
        api.far.finish(ids[0], "ab" * 64)
        assert (await waiting[0]).json()["state"] == "succeeded"
        await api.clock.settle()
        assert len([call for call in api.far.calls if call.url.path == f"/internal/jobs/{ids[1]}"]) == looks
        for job_id in ids[1:]:
            api.far.finish(job_id, "cd" * 64)
        assert {(await one).json()["hash"] for one in waiting[1:]} == {"cd" * 64}


async def test_all_who_wait_for_one_job_are_counted_and_share_the_look_when_it_ends() -> None:
    async with api_instance(FakeOrchestrators()) as api, asyncio.TaskGroup() as tasks:
        job_id = await enter(api)
        requests = Waiting(api, tasks)
        waiting = [await requests.get(f"/jobs/{job_id}?wait_s=30") for _ in range(50)]
        assert await api.metric("dynwork_api_waiting_requests") == 50
        before, reached, released = len(api.far.calls), asyncio.Event(), asyncio.Event()
        api.far.fail(ONE, held(reached, released), forever=True)  # as on a network: an answer takes time
        api.far.finish(job_id, "ab" * 64)
        await reached.wait()
        await api.clock.settle()
        released.set()
        assert {(await one).json()["hash"] for one in waiting} == {"ab" * 64}
        looks = [call for call in api.far.calls[before:] if call.url.path == f"/internal/jobs/{job_id}"]
        assert len(looks) == 2
        assert await api.metric("dynwork_api_waiting_requests") == 0


async def test_a_follower_is_answered_by_what_ends_of_its_owner_s() -> None:
    async with api_instance(FakeOrchestrators(), **KEYS) as api, asyncio.TaskGroup() as tasks:
        mine, theirs = await enter(api, "one"), await enter(api, "two")
        requests = Waiting(api, tasks)
        one, chief = await requests.get("/results?wait_s=30"), await requests.get("/results?wait_s=30", "chief")
        api.far.finish(theirs, "ab" * 64)
        assert [entry["job_id"] for entry in (await chief).json()["results"]] == [theirs]
        await api.clock.settle()
        assert not one.done()
        api.far.finish(mine, "cd" * 64)
        page = (await one).json()
        assert [entry["job_id"] for entry in page["results"]] == [mine]
        rest = await api.client.get(f"/results?after={page['next']}", headers={"Authorization": "Bearer one"})
        assert rest.json()["results"] == []


async def test_newest_is_what_ends_from_now_on() -> None:
    async with api_instance(FakeOrchestrators()) as api, asyncio.TaskGroup() as tasks:
        old, new = await enter(api), await enter(api, data=b"y")
        api.far.finish(old, "ab" * 64)
        page = (await api.client.get("/results?after=newest")).json()
        assert page["results"] == []
        waiting = await Waiting(api, tasks).get("/results?after=newest&wait_s=30")
        api.far.finish(new, "cd" * 64)
        assert [entry["job_id"] for entry in (await waiting).json()["results"]] == [new]
        later = (await api.client.get(f"/results?after={page['next']}")).json()
        assert [entry["job_id"] for entry in later["results"]] == [new]


async def test_a_follower_without_news_is_answered_when_the_time_is_up() -> None:
    async with api_instance(FakeOrchestrators()) as api, asyncio.TaskGroup() as tasks:
        waiting = await Waiting(api, tasks).get("/results?after=newest&wait_s=5")
        await api.clock.advance(5.1)
        assert (await waiting).json()["results"] == []


@pytest.mark.parametrize("query", ["wait_s=-1", "wait_s=31", "wait_s=1.5", "wait_s=", "wait_s=x"])
@pytest.mark.parametrize("path", ["/results", "/jobs/01a20f23-3ad6-76a2-a87d-f2a1047c1d04"])
async def test_a_wait_out_of_bounds_is_refused(path: str, query: str) -> None:
    async with api_instance(FakeOrchestrators()) as api:
        assert (await api.client.get(f"{path}?{query}")).status_code == 422


async def test_who_waits_in_vain_at_a_full_instance_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "WAITERS_MAX", 1)
    async with api_instance(FakeOrchestrators()) as api, asyncio.TaskGroup() as tasks:
        job_id = await enter(api)
        waiting = await Waiting(api, tasks).get(f"/jobs/{job_id}?wait_s=30")
        answer = await api.client.get(f"/jobs/{job_id}?wait_s=30")
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert (await api.client.get(f"/jobs/{job_id}")).status_code == 200
        api.far.finish(job_id, "ab" * 64)
        assert (await waiting).status_code == 200
        assert api.api.tail.waiting == 0


async def test_however_many_are_woken_at_once_all_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "ASKS_WAITING_MAX", 3)
    async with api_instance(FakeOrchestrators()) as api, asyncio.TaskGroup() as tasks:
        ids = [await enter(api, data=b"%d" % number) for number in range(9)]
        requests = Waiting(api, tasks)
        jobs = [await requests.get(f"/jobs/{job_id}?wait_s=30") for job_id in (*ids, *ids)]
        feeds = [await requests.get(f"/results?wait_s=30&limit={number}") for number in range(1, 9)]
        reached, released = asyncio.Event(), asyncio.Event()
        api.far.fail(ONE, held(reached, released), forever=True)  # all look before one of them is answered
        for job_id in ids:
            api.far.finish(job_id, "ab" * 64)
        await reached.wait()
        await api.clock.settle()
        released.set()
        assert {(await one).status_code for one in (*jobs, *feeds)} == {200}


async def test_who_waits_in_the_tail_looks_however_many_others_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "ASKS_WAITING_MAX", 1)
    async with api_instance(FakeOrchestrators()) as api, asyncio.TaskGroup() as tasks:
        job_id = await enter(api)
        requests = Waiting(api, tasks)
        reached, released = asyncio.Event(), asyncio.Event()
        api.far.fail(ONE, held(reached, released), forever=True)
        reading = await requests.get("/stats")
        await reached.wait()
        waiting = [await requests.get(f"/jobs/{job_id}?wait_s=1"), await requests.get("/results?wait_s=1")]
        assert (await api.client.get(f"/jobs/{job_id}")).status_code == 503, "there is room for one that reads"
        released.set()
        await api.clock.advance(2)
        assert [(await one).status_code for one in (reading, *waiting)] == [200] * 3


async def test_when_the_role_stops_nobody_waits_on() -> None:
    async with api_instance(FakeOrchestrators()) as api, asyncio.TaskGroup() as tasks:
        job_id = await enter(api)
        requests = Waiting(api, tasks)
        waiting = [await requests.get(f"/jobs/{job_id}?wait_s=30"), await requests.get("/results?wait_s=30")]
        api.api.stop()
        assert [(await one).status_code for one in waiting] == [200, 200]
        assert (await api.client.get(f"/jobs/{job_id}?wait_s=30")).json()["state"] == "queued"


async def test_a_client_that_left_leaves_its_place() -> None:
    async with api_listening(FakeOrchestrators()) as (api, port):
        job_id = await enter(api)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET /jobs/{job_id}?wait_s=30 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        await writer.drain()
        await eventually(lambda: api.api.tail.waiting == 1, "the request to wait")
        writer.close()
        await eventually(lambda: api.api.tail.waiting == 0, "its place to be left")
        assert await reader.read() == b""


async def test_a_place_is_left_even_by_who_gives_up() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        with pytest.raises(RuntimeError), api.api.tail.place(Waiter(job_id=new_id())):
            raise RuntimeError("given up")
        assert api.api.tail.waiting == 0
