"""Errors over HTTP: one table, one form, for every role."""

from __future__ import annotations

from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException, Query
from prometheus_client import CollectorRegistry
from structlog.typing import EventDict

from dynwork import errors, health, problems
from dynwork.wire import Problem


def leaves(kind: type[errors.DynworkError]) -> set[type[errors.DynworkError]]:
    return {kind}.union(*map(leaves, kind.__subclasses__()))


def application() -> FastAPI:
    app = FastAPI()
    problems.install(app)

    @app.get("/raise/{code}")
    async def raising(code: str) -> None:
        if code == "defect":
            raise ZeroDivisionError("s3cr3t")
        if code == "teapot":
            raise HTTPException(418, "short and stout")
        raise next(kind for kind in leaves(errors.DynworkError) if kind.code == code)("what and what next")

    @app.get("/take")
    async def taking(number: Annotated[int, Query(ge=1)], name: Annotated[str, Query(max_length=3)]) -> None: ...

    return app


async def get(path: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application()), base_url="http://role") as client:
        return await client.get(path)


@pytest.mark.parametrize(("kind", "status"), problems.STATUS.items())
async def test_every_error_in_the_table_is_a_problem_with_its_status_and_code(
    kind: type[errors.DynworkError], status: int
) -> None:
    answer = await get(f"/raise/{kind.code}")
    problem = Problem.model_validate_json(answer.content)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.status_code, problem.status, problem.code) == (status, status, kind.code)
    assert problem.detail == "what and what next"
    assert ("Retry-After" in answer.headers) == (status in (429, 503))
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)


def test_everything_that_a_caller_can_be_told_is_in_the_table() -> None:
    for base in (errors.RefusedError, errors.UnavailableError):
        told = set(base.__subclasses__()) - {errors.NoAnswerError}  # that one only a client can find out
        assert told <= set(problems.STATUS)


def test_a_refined_error_has_the_status_of_what_it_refines() -> None:
    class WorkerStoreError(errors.StoreUnavailableError):
        code = "worker_store"

    assert problems.status_of(WorkerStoreError("x")) == 503
    assert problems.status_of(errors.DynworkError("x")) == 500


@pytest.mark.parametrize(("retry_after_s", "told"), [(None, "1"), (0.2, "1"), (1, "1"), (1.5, "2"), (30, "30")])
def test_retry_after_is_whole_seconds_and_never_too_early(retry_after_s: float | None, told: str) -> None:
    assert problems.of_error(errors.QueueFullError("x", retry_after_s=retry_after_s)).headers["Retry-After"] == told


async def test_faults_of_a_request_are_listed_by_field_and_never_show_values() -> None:
    answer = await get("/take?number=0&name=s3cr3t")
    assert answer.status_code == 422
    assert [item["field"] for item in answer.json()["errors"]] == ["number", "name"]
    assert all(item["message"] for item in answer.json()["errors"])
    assert "s3cr3t" not in answer.text


def test_the_list_of_faults_is_bounded() -> None:
    many: list[dict[str, str]] = [{"field": str(index), "message": "bad"} for index in range(1000)]
    response = problems.of_error(errors.InvalidInputError("bad", errors=many))
    assert len(Problem.model_validate_json(bytes(response.body)).errors or []) == problems.FIELDS_MAX


async def test_a_defect_is_logged_once_with_its_traceback_and_answered_without(told: list[EventDict]) -> None:
    answer = await get("/raise/defect")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "s3cr3t" not in answer.text
    (event,) = told
    assert (event["event"], event["path"]) == ("request_failed", "/raise/defect")
    assert isinstance(event["exc_info"], ZeroDivisionError)


async def test_a_defect_after_the_answer_began_is_left_to_the_server() -> None:
    async def broken(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(problems.Defects(broken)), base_url="http://role"
    ) as client:
        with pytest.raises(ZeroDivisionError):
            await client.get("/")


async def test_statuses_of_frameworks_are_problems_too() -> None:
    answer = await get("/raise/teapot")
    assert (answer.status_code, answer.json()["detail"]) == (418, "short and stout")
    assert (await get("/nowhere")).json()["code"] == "not_found"


async def test_health_pages_say_what_is_missing_and_guard_the_metrics() -> None:
    missing: str | None = "no store"

    async def ready() -> str | None:
        return missing

    def guard(_request: object) -> None:
        raise errors.UnauthorizedError("show a key")

    app = FastAPI()
    problems.install(app)
    app.include_router(health.pages(CollectorRegistry(), ready, guard))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://role") as client:
        assert (await client.get("/livez")).json() == {"status": "ok"}
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()) == (503, {"status": "unavailable", "missing": "no store"})
        missing = None
        assert (await client.get("/readyz")).json() == {"status": "ok"}
        assert (await client.get("/metrics")).status_code == 401
