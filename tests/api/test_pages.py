"""Errors of routing, and readiness."""

from __future__ import annotations

import asyncio

import pytest

from dynwork.testing.api import ONE, TWO, api_instance, api_listening
from dynwork.testing.orchestrators import REFUSED, FakeOrchestrators, held
from dynwork.testing.raw import connected, head
from dynwork.wire import Problem


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/enqueue/", 404, "not_found"),
        ("GET", "/internal/stats", 404, "not_found"),
        ("POST", "/enqueue?iterations=1", 405, "method_not_allowed"),
        ("GET", "/pullCompleted", 405, "method_not_allowed"),
        ("PATCH", "/stats", 405, "method_not_allowed"),
    ],
)
async def test_what_is_not_there_is_a_problem_too(method: str, path: str, status: int, code: str) -> None:
    async with api_instance(FakeOrchestrators()) as api:
        answer = await api.client.request(method, path)
        assert answer.headers["Content-Type"] == "application/problem+json"
        problem = Problem.model_validate_json(answer.content)
        assert (answer.status_code, problem.status, problem.code) == (status, status, code)
        assert problem.title
        assert ("Allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/jobs", "GET, POST"),
        ("PATCH", "/jobs/0198a1b2-0000-7000-8000-000000000000", "DELETE, GET"),
        ("GET", "/enqueue", "PUT"),
        ("POST", "/livez", "GET, HEAD"),
        ("POST", "/docs/swagger-ui.css", "GET"),
    ],
)
async def test_a_method_that_a_path_does_not_have_is_told_all_that_it_has(method: str, path: str, allowed: str) -> None:
    async with api_instance(FakeOrchestrators()) as api:
        answer = await api.client.request(method, path)
        assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)
        assert answer.json()["detail"].endswith(f"use {allowed}")


@pytest.mark.parametrize("path", ["/", "/livez", "/readyz"])
async def test_head_is_answered_as_get_is_without_a_body(path: str) -> None:
    async with api_listening(FakeOrchestrators()) as (_, port), connected(port) as (reader, writer):
        heads = []
        for method in ("HEAD", "GET"):
            writer.write(head(f"{method} {path}"))
            headers = await reader.readuntil(b"\r\n\r\n")
            assert headers.startswith(b"HTTP/1.1 200 ")
            if method == "GET":
                assert await reader.readexactly(int(headers.lower().split(b"content-length: ")[1].split()[0]))
            lines = headers.lower().splitlines()
            heads.append(sorted(line for line in lines if not line.startswith((b"date:", b"x-request-id:"))))
        assert heads[0] == heads[1]


async def test_ready_means_that_an_orchestrator_answers() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        assert (await api.client.get("/readyz")).status_code == 200
        api.far.fail(ONE, REFUSED, forever=True)
        api.far.fail(TWO, REFUSED, forever=True)
        await api.clock.advance(1.5)
        answer = await api.client.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
        assert answer.json()["missing"]
        api.far.heal(TWO)
        await api.clock.advance(1.5)
        assert (await api.client.get("/readyz")).status_code == 200
        assert (await api.client.get("/livez")).status_code == 200


async def test_readiness_probes_once_a_second_at_most_however_often_it_is_asked() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        api.far.fail(ONE, REFUSED, forever=True)
        api.far.fail(TWO, REFUSED, forever=True)
        for _ in range(10):
            assert (await api.client.get("/readyz")).status_code == 503
        assert len(api.far.calls) == 2
        await api.clock.advance(1.0)
        await api.client.get("/readyz")
        assert len(api.far.calls) == 4


async def test_any_recent_answer_makes_a_probe_needless() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        await api.client.put("/enqueue?iterations=1", content=b"x")
        assert (await api.client.get("/readyz")).status_code == 200
        assert [call.url.path for call in api.far.calls] == ["/internal/submit"]


async def test_askers_of_readiness_share_one_probe() -> None:
    reached, released = asyncio.Event(), asyncio.Event()
    async with api_instance(FakeOrchestrators()) as api:
        api.far.fail(ONE, held(reached, released))
        loop = asyncio.get_running_loop()
        askers = [loop.create_task(api.client.get("/readyz")) for _ in range(20)]
        await reached.wait()
        released.set()
        assert {(await asker).status_code for asker in askers} == {200}
        assert len(api.far.calls) == 1
