"""One conversation with either far end: the fake orchestrators of these tests answer as a real one does."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from dynwork.ids import new_id
from dynwork.testing.api import ONE, TOKEN, api_instance
from dynwork.testing.orchestrator import running
from dynwork.testing.orchestrators import LOST, FakeOrchestrators

RED = {"Authorization": "Bearer red-key"}
BLUE = {"Authorization": "Bearer blue-key"}
KEYS: dict[str, Any] = {"api_keys": ("red:red-key", "blue:blue-key")}


@pytest.fixture(params=["fake", "real"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of an API instance whose answers are lost now and then on their way from the orchestrator."""
    ready: asyncio.Future[httpx.AsyncClient] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def hold(far: FakeOrchestrators) -> None:
        far.fail(ONE, LOST, LOST, LOST)
        async with api_instance(far, **KEYS) as api:
            ready.set_result(api.client)
            await over.wait()

    async def real() -> None:
        async with running(api_token=TOKEN, worker_token="another") as bench:
            await hold(FakeOrchestrators(httpx.ASGITransport(bench.orchestrator.app)))

    # One task for both ends of the contexts: a fixture's halves may run in two.
    holder = asyncio.get_running_loop().create_task(real() if request.param == "real" else hold(FakeOrchestrators()))
    holder.add_done_callback(lambda _holder: ready.cancel())  # it failed: do not wait for it
    yield await ready
    over.set()
    await holder


async def put(client: httpx.AsyncClient, content: bytes, query: str = "iterations=5", **headers: str) -> httpx.Response:
    return await client.put(f"/enqueue?{query}", content=content, headers={**RED, **headers})


async def test_a_job_is_entered_once_and_shown_to_its_owner_only(client: httpx.AsyncClient) -> None:
    first = await put(client, b"x", **{"Idempotency-Key": "k"})
    assert first.status_code == 202
    assert (await put(client, b"x", **{"Idempotency-Key": "k"})).json() == first.json()
    for other in (
        await put(client, b"y", **{"Idempotency-Key": "k"}),
        await put(client, b"x", "iterations=6", **{"Idempotency-Key": "k"}),
        await put(client, b"x", "iterations=5&priority=9", **{"Idempotency-Key": "k"}),
    ):
        assert (other.status_code, other.json()["code"]) == (409, "key_reused")
    path = f"/jobs/{first.json()['job_id']}"
    shown = (await client.get(path, headers=RED)).json()
    assert (shown["state"], shown["done"], shown["iterations"], shown["hash"]) == ("queued", 1, 5, None)
    assert (await client.get(path, headers=BLUE)).status_code == 404
    assert (await client.get(f"/jobs/{new_id()}", headers=RED)).status_code == 404


async def test_cancelling_has_the_same_end_however_often_it_is_asked(client: httpx.AsyncClient) -> None:
    path = f"/jobs/{(await put(client, b'x')).json()['job_id']}"
    assert (await client.delete(path, headers=BLUE)).status_code == 404
    for _ in range(2):
        answer = await client.delete(path, headers=RED)
        assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")


async def test_one_iteration_has_succeeded_when_it_is_accepted(client: httpx.AsyncClient) -> None:
    ids = [(await put(client, bytes([number]), "iterations=1")).json()["job_id"] for number in range(5)]
    hashes = [hashlib.sha512(bytes([number])).hexdigest() for number in range(5)]
    pulled = (await client.post("/pullCompleted?top=3", headers=RED)).json()
    assert [(entry["job_id"], entry["hash"]) for entry in pulled] == list(zip(ids, hashes, strict=True))[:1:-1]
    assert (await client.post("/pullCompleted", headers=BLUE)).json() == []
    refused = await client.delete(f"/jobs/{ids[0]}", headers=RED)
    assert (refused.status_code, refused.json()["code"]) == (409, "job_finished")


async def test_the_feed_is_followed_page_by_page(client: httpx.AsyncClient) -> None:
    ids = [(await put(client, bytes([number]), "iterations=1")).json()["job_id"] for number in range(5)]
    told: list[str] = []
    after = ""
    for _ in range(4):
        page = (await client.get(f"/results?limit=2{after}", headers=RED)).json()
        told += [entry["job_id"] for entry in page["results"]]
        after = f"&after={page['next']}"
    assert told == ids
    assert (await client.get("/results", headers=BLUE)).json()["results"] == []


async def test_the_whole_system_is_shown(client: httpx.AsyncClient) -> None:
    assert {"queued", "backlog_steps", "oldest_wait_s"} <= set((await client.get("/stats", headers=RED)).json())
    assert {"min", "max", "workers", "instances", "leader"} <= set((await client.get("/fleet", headers=RED)).json())
