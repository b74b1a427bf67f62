"""Who may do what: every route needs a key unless it is on the list of open ones."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from dynwork import security
from dynwork.api.auth import KeyGuard
from dynwork.errors import UnauthorizedError
from dynwork.ids import new_id
from dynwork.rights import Key
from dynwork.settings import ApiSettings
from dynwork.testing.api import api_instance
from dynwork.testing.orchestrators import FakeOrchestrators

ALWAYS_OPEN = {"/", "/livez", "/readyz"}
OPEN_PAGES = {"/metrics", "/docs", "/docs/{name}", "/openapi.json"}
KEYS: dict[str, Any] = {"api_keys": ("red:red-key-1", "red:red-key-2", "blue:blue-key")}


def showing(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def guarded_by(app: FastAPI) -> Iterator[tuple[str, set[str], bool]]:
    for route in iter_route_contexts(app.routes):
        guards = [item for item in route.dependant.dependencies if isinstance(item.call, KeyGuard)]
        yield route.path or "", route.methods or set(), len(guards) == 1


async def test_every_route_has_the_guard_or_is_on_the_list_of_open_ones() -> None:
    async with api_instance(FakeOrchestrators(), **KEYS) as api:
        routes = list(guarded_by(api.app))
        assert {path for path, _, guarded in routes if not guarded} == ALWAYS_OPEN | OPEN_PAGES


@pytest.mark.parametrize(
    "headers",
    [
        {},
        showing("wrong"),
        showing("red-key"),
        showing("red-key-1x"),
        showing("red:red-key-1"),
        showing(""),
        {"Authorization": "red-key-1"},
        {"Authorization": "Basic red-key-1"},
    ],
)
async def test_without_a_key_every_call_but_the_always_open_pages_is_refused(headers: dict[str, str]) -> None:
    async with api_instance(FakeOrchestrators(), open_pages=False, **KEYS) as api:
        for path, methods, _ in guarded_by(api.app):
            for method in methods:
                answer = await api.client.request(method, path.replace("{job_id}", new_id()), headers=headers)
                if path in ALWAYS_OPEN:
                    assert answer.status_code == 200
                    continue
                assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), path
                assert answer.headers["WWW-Authenticate"] == "Bearer"
                assert answer.headers["Content-Type"] == "application/problem+json"
        assert {call.url.path for call in api.far.calls} == {"/internal/stats"}  # the probe of /readyz


async def test_the_key_is_looked_at_before_the_parameters() -> None:
    async with api_instance(FakeOrchestrators(), **KEYS) as api:
        assert (await api.client.put("/enqueue?iterations=none", content=b"x")).status_code == 401


@pytest.mark.parametrize("key", ["red-key-1", "red-key-2"])
async def test_any_key_of_an_owner_is_that_owner(key: str) -> None:
    async with api_instance(FakeOrchestrators(), **KEYS) as api:
        job_id = (await api.client.put("/enqueue?iterations=2", content=b"x", headers=showing(key))).json()["job_id"]
        assert api.far.jobs[job_id].owner == "red"
        assert (await api.client.get(f"/jobs/{job_id}", headers=showing("red-key-1"))).status_code == 200


async def test_one_owner_s_jobs_do_not_exist_for_another() -> None:
    async with api_instance(FakeOrchestrators(), **KEYS) as api:
        mine = showing("red-key-1")
        job_id = (await api.client.put("/enqueue?iterations=2", content=b"x", headers=mine)).json()["job_id"]
        api.far.finish(job_id, "ab" * 64)
        theirs = showing("blue-key")
        for method in ("GET", "DELETE"):
            assert (await api.client.request(method, f"/jobs/{job_id}", headers=theirs)).status_code == 404
        assert (await api.client.post("/pullCompleted", headers=theirs)).json() == []
        assert (await api.client.get("/results", headers=theirs)).json()["results"] == []


async def test_the_same_key_name_of_two_owners_is_two_jobs() -> None:
    async with api_instance(FakeOrchestrators(), **KEYS) as api:
        ids = set()
        for key in ("red-key-1", "blue-key"):
            headers = {**showing(key), "Idempotency-Key": "once"}
            ids.add((await api.client.put("/enqueue?iterations=2", content=b"x", headers=headers)).json()["job_id"])
        assert len(ids) == 2


async def test_the_scheme_is_read_in_any_case() -> None:
    async with api_instance(FakeOrchestrators(), **KEYS) as api:
        assert (await api.client.get("/stats", headers={"Authorization": "bearer  blue-key"})).status_code == 200


async def test_blanks_around_a_key_are_no_part_of_it_and_those_within_are() -> None:
    async with api_instance(FakeOrchestrators(), api_keys=("red: s3cr3t ", "blue:two words")) as api:
        for key, status in (("s3cr3t", 200), (" s3cr3t", 200), ("two words", 200), ("two", 401), ("twowords", 401)):
            assert (await api.client.get("/stats", headers=showing(key))).status_code == status


async def test_a_key_outside_ascii_is_recognised_as_it_was_sent() -> None:
    async with api_instance(FakeOrchestrators(), api_keys=("red:ключ",)) as api:
        sent = {b"Authorization": "Bearer ключ".encode()}
        assert (await api.client.get("/stats", headers=sent)).status_code == 200
        wrong = {b"Authorization": "Bearer клюв".encode()}
        assert (await api.client.get("/stats", headers=wrong)).status_code == 401
        nonsense = {b"Authorization": b"Bearer \xff\xfe"}
        assert (await api.client.get("/stats", headers=nonsense)).status_code == 401


@pytest.mark.parametrize("page", sorted(page.replace("{name}", "swagger-ui.css") for page in OPEN_PAGES))
async def test_closed_pages_need_a_key_and_open_ones_do_not(page: str) -> None:
    async with api_instance(FakeOrchestrators(), **KEYS) as api:  # bound to loopback: open
        assert (await api.client.get(page)).status_code == 200
    async with api_instance(FakeOrchestrators(), open_pages=False, **KEYS) as api:
        assert (await api.client.get(page)).status_code == 401
        assert (await api.client.get(page, headers=showing("blue-key"))).status_code == 200
    async with api_instance(FakeOrchestrators(), api_host="0.0.0.0", **KEYS) as api:
        assert (await api.client.get(page)).status_code == 401
    async with api_instance(FakeOrchestrators(), api_host="0.0.0.0", open_pages=True, **KEYS) as api:
        assert (await api.client.get(page)).status_code == 200


async def test_a_closed_page_without_any_key_set_is_seen_by_nobody() -> None:
    async with api_instance(FakeOrchestrators(), open_pages=False) as api:
        assert (await api.client.get("/metrics")).status_code == 401
        assert (await api.client.get("/stats")).status_code == 200


@pytest.mark.parametrize("lie", [{"Origin": "http://evil.example"}, {"Host": "evil.example:8000"}])
async def test_without_keys_no_page_of_another_site_reaches_a_guarded_route(lie: dict[str, str]) -> None:
    async with api_instance(FakeOrchestrators()) as api:
        for path, methods, guarded in guarded_by(api.app):
            for method in methods if guarded else ():
                answer = await api.client.request(method, path.replace("{job_id}", new_id()), headers=lie)
                assert (answer.status_code, answer.json()["code"]) == (403, "foreign_site"), path
        assert api.far.calls == []


def test_an_address_beyond_loopback_is_refused_without_keys() -> None:
    with pytest.raises(ValueError, match="DYNWORK_API_KEYS"):
        ApiSettings(api_host="0.0.0.0")


async def test_every_candidate_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(left: bytes, right: bytes) -> bool:
        compared.append((left, right))
        return left == right

    monkeypatch.setattr(hmac, "compare_digest", compare)
    keys = (Key("red", "r1"), Key("red", "r2"), Key("blue", "b1"))
    assert security.key_of("r1", keys).owner == "red"
    assert [right for _, right in compared] == [b"r1", b"r2", b"b1"]
    compared.clear()
    with pytest.raises(UnauthorizedError):
        security.key_of("none of them", keys)
    assert [right for _, right in compared] == [b"r1", b"r2", b"b1"]
