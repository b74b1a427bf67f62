"""Every route against every right: what a key may do is what the route says it needs, and what OpenAPI shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from dynwork.api.auth import KeyGuard
from dynwork.ids import new_id
from dynwork.rights import Right
from dynwork.testing.api import ApiBench, api_instance
from dynwork.testing.orchestrators import FakeOrchestrators

HOLDERS: dict[str, set[str]] = {
    "reader": {"read"},
    "submitter": {"submit"},
    "both": {"submit", "read"},
    "admin": {"submit", "read", "admin"},
}
"""Whose key allows what, in words of this test alone."""
KEYS: dict[str, Any] = {
    "api_keys": ("one[read]:reader", "one[submit]:submitter", "one:both", "chief[admin]:admin", "two:other")
}
NEEDED = {
    "PUT /enqueue": "submit",
    "POST /jobs": "submit",
    "POST /pullCompleted": "read",
    "GET /results": "read",
    "GET /jobs": "read",
    "GET /jobs/{job_id}": "read",
    "DELETE /jobs/{job_id}": "submit",
    "POST /jobs/{job_id}/requeue": "submit",
    "GET /fleet": "read",
    "GET /events": "read",
    "GET /stats": "read",
}
"""What the contract says. A new route is not in it, so its author has to say what it needs."""


def guarded(app: FastAPI) -> Iterator[tuple[str, str]]:
    for route in iter_route_contexts(app.routes):
        if any(isinstance(item.call, KeyGuard) for item in route.dependant.dependencies):
            for method in route.methods or ():
                yield method, route.path or ""


BODIES: dict[str, bytes] = {
    "PUT /enqueue": b"x",
    "POST /jobs": json.dumps({"jobs": [{"data": "eA==", "iterations": 2}]}).encode(),
}


async def call(api: ApiBench, route: str, key: str, job_id: str | None = None) -> httpx.Response:
    method, path = route.split(" ")
    return await api.client.request(
        method,
        path.replace("{job_id}", job_id or new_id()),
        params={"iterations": 2} if path == "/enqueue" else {},
        content=BODIES.get(route),
        headers={"Authorization": f"Bearer {key}"},
    )


async def test_every_guarded_route_is_in_the_contract() -> None:
    async with api_instance(FakeOrchestrators(), **KEYS) as api:
        assert {f"{method} {path}" for method, path in guarded(api.app)} == set(NEEDED)


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("route", NEEDED)
async def test_a_key_may_do_what_its_rights_say_and_nothing_else(route: str, holder: str) -> None:
    async with api_instance(FakeOrchestrators(), **KEYS) as api:
        api.api.stop()  # what streams ends at once
        answer = await call(api, route, holder)
        if NEEDED[route] in HOLDERS[holder]:
            assert answer.status_code in ((404,) if "{job_id}" in route else (200, 202)), answer.text
        else:
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
            assert NEEDED[route] in answer.json()["detail"]
            assert api.far.calls == [], "nothing is asked for who may not ask"


async def test_the_document_says_for_every_call_which_right_it_needs() -> None:
    async with api_instance(FakeOrchestrators(), **KEYS) as api:
        paths = (await api.client.get("/openapi.json")).json()["paths"]
    shown = {
        f"{method.upper()} {path}": operation["security"]
        for path, operations in paths.items()
        for method, operation in operations.items()
        if "security" in operation
    }
    assert shown == {route: [{"key": [right]}] for route, right in NEEDED.items()}


@pytest.mark.parametrize("route", [route for route in NEEDED if "{job_id}" in route])
async def test_a_foreign_job_and_one_that_never_was_cannot_be_told_apart(route: str) -> None:
    async with api_instance(FakeOrchestrators(), **KEYS) as api:
        job_id = (await call(api, "PUT /enqueue", "both")).json()["job_id"]
        unknown = new_id()
        foreign = await call(api, route, "other", job_id)
        never = await call(api, route, "other", unknown)
        assert foreign.status_code == never.status_code == 404
        assert json.loads(foreign.text.replace(job_id, unknown)) == never.json()
        assert foreign.headers.keys() == never.headers.keys()
        assert api.far.views[job_id].state == "queued"


@pytest.mark.parametrize("route", [route for route in NEEDED if "{job_id}" in route])
async def test_an_admin_reaches_every_owner_s_job(route: str) -> None:
    async with api_instance(FakeOrchestrators(), **KEYS) as api:
        job_id = (await call(api, "PUT /enqueue", "both")).json()["job_id"]
        answer = await call(api, route, "admin", job_id)
        assert answer.status_code != 404, answer.text
        assert api.far.jobs[job_id].owner == "one"


async def test_an_admin_sees_everybody_s_results_and_the_others_their_own() -> None:
    async with api_instance(FakeOrchestrators(), **KEYS) as api:
        ids = [(await call(api, "PUT /enqueue", key)).json()["job_id"] for key in ("both", "other", "admin")]
        for job_id in ids:
            api.far.finish(job_id, "ab" * 64)

        async def told(key: str) -> list[str]:
            return [entry["job_id"] for entry in (await call(api, "GET /results", key)).json()["results"]]

        assert await told("admin") == ids
        assert await told("reader") == await told("both") == ids[:1]
        assert await told("other") == ids[1:2]
        pulled = (await call(api, "POST /pullCompleted", "admin")).json()
        assert [entry["job_id"] for entry in pulled] == ids[::-1]


async def test_what_an_admin_submits_is_its_own() -> None:
    async with api_instance(FakeOrchestrators(), **KEYS) as api:
        job_id = (await call(api, "PUT /enqueue", "admin")).json()["job_id"]
        assert api.far.jobs[job_id].owner == "chief"


def test_the_words_of_this_test_are_all_the_rights_there_are() -> None:
    assert {right for rights in HOLDERS.values() for right in rights} == set(Right)
