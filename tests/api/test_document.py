"""The OpenAPI document: it explains everything in it to a stranger, and what it says is true of the application."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from pydantic import TypeAdapter

from dynwork import __version__, errors
from dynwork.api import examples
from dynwork.ids import new_id
from dynwork.problems import STATUS
from dynwork.settings import OrchestratorSettings
from dynwork.testing.api import ApiBench, api_instance
from dynwork.testing.orchestrators import FakeOrchestrators
from dynwork.wire import Problem

Operation = tuple[str, str, dict[str, Any]]

BEYOND = {"401", "403", "503"}
"""What every call that needs a key may refuse, beside what is listed here."""
REFUSALS = {
    "PUT /enqueue": {"400", "408", "409", "413", "422", "429"},
    "POST /jobs": {"400", "408", "413", "422", "429"},
    "POST /pullCompleted": {"422"},
    "GET /results": {"410", "422"},
    "GET /jobs": {"422"},
    "GET /jobs/{job_id}": {"404", "422"},
    "DELETE /jobs/{job_id}": {"404", "409", "422"},
    "POST /jobs/{job_id}/requeue": {"404", "409", "422", "429"},
    "GET /fleet": set[str](),
    "GET /stats": set[str](),
    "GET /events": set[str](),
}


@pytest.fixture
async def api() -> AsyncIterator[ApiBench]:
    async with api_instance(FakeOrchestrators()) as bench:
        yield bench


@pytest.fixture
async def document(api: ApiBench) -> dict[str, Any]:
    answer = await api.client.get("/openapi.json")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    for path, found in document["paths"].items():
        for method, operation in found.items():
            yield method.upper(), path, operation


def explained(text: str | None) -> bool:
    return bool(text) and text not in ("Successful Response", "Validation Error")


def test_every_call_is_explained_and_has_a_place(document: dict[str, Any]) -> None:
    tags = {tag["name"]: tag["description"] for tag in document["tags"]}
    used = set()
    for method, path, operation in operations(document):
        assert operation["summary"], path
        assert len(operation["description"]) > 30, path
        (tag,) = operation["tags"]
        used.add(tag)
        assert all(explained(response["description"]) for response in operation["responses"].values()), (method, path)
        assert all(explained(parameter.get("description")) for parameter in operation.get("parameters", ())), path
    assert used == set(tags)
    assert all(explained(description) for description in tags.values())


def test_every_field_of_every_message_is_explained(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        assert explained(schema["description"]), name
        for field, described in schema["properties"].items():
            assert explained(described.get("description")), (name, field)


async def test_the_bound_of_iterations_is_the_one_that_is_set_in_one_and_in_bulk() -> None:
    async with api_instance(FakeOrchestrators(), iterations_max=1000) as api:
        document = (await api.client.get("/openapi.json")).json()
        (single,) = (found["schema"] for found in document["paths"]["/enqueue"]["put"]["parameters"]
                     if found["name"] == "iterations")  # fmt: skip
        bulk = document["components"]["schemas"]["BulkJob"]["properties"]["iterations"]
        assert (single["maximum"], bulk["maximum"]) == (1000, 1000)


def test_a_key_is_promised_to_hold_among_its_owner_s_jobs_while_the_job_is_kept(document: dict[str, Any]) -> None:
    (header,) = (found for found in document["paths"]["/enqueue"]["put"]["parameters"] if found["in"] == "header")
    item = document["components"]["schemas"]["BulkJob"]["properties"]["key"]
    for told in (header["description"], item["description"]):
        assert "its owner's" in told
        assert "kept" in told
    for told in (document["info"]["description"], document["paths"]["/enqueue"]["put"]["description"]):
        assert f"{OrchestratorSettings.model_fields['retention_s'].default / 86400:.0f} days" in " ".join(told.split())


def test_the_document_names_its_version_and_its_licence(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert document["info"]["version"] == __version__
    assert document["info"]["license"]["identifier"] == "Apache-2.0"


async def test_asked_for_again_it_is_the_same(api: ApiBench, document: dict[str, Any]) -> None:
    assert (await api.client.get("/openapi.json")).json() == document


def test_every_call_with_a_key_says_in_words_which_right_it_needs(document: dict[str, Any]) -> None:
    guarded = {f"{method} {path}": operation for method, path, operation in operations(document)
               if "security" in operation}  # fmt: skip
    assert guarded.keys() == REFUSALS.keys()
    for operation in guarded.values():
        ((right,),) = (needed["key"] for needed in operation["security"])
        assert f"the right `{right}`" in operation["description"]
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"


@pytest.mark.parametrize("call", REFUSALS)
def test_every_refusal_is_a_problem_with_its_codes_and_an_example_of_each(document: dict[str, Any], call: str) -> None:
    method, path = call.split()
    responses = document["paths"][path][method.lower()]["responses"]
    refused = {status: response for status, response in responses.items() if status >= "400"}
    assert refused.keys() == REFUSALS[call] | BEYOND
    known = {leaf.code: str(status) for leaf, status in STATUS.items()}
    for status, response in refused.items():
        (told,) = response["content"].values()
        assert list(response["content"]) == ["application/problem+json"]
        _, narrowed = told["schema"]["allOf"]
        codes = narrowed["properties"]["code"]["enum"]
        assert [known[code] for code in codes] == [status] * len(codes)
        assert list(told["examples"]) == codes
        for code, example in told["examples"].items():
            problem = Problem.model_validate(example["value"])
            assert (problem.code, str(problem.status)) == (code, status)
            assert f"`{code}`" in response["description"]
        assert ("Retry-After" in response.get("headers", {})) == (status in ("429", "503"))
        assert ("WWW-Authenticate" in response.get("headers", {})) == (status == "401")


def test_what_befalls_any_call_is_in_the_document_of_every_call(document: dict[str, Any]) -> None:
    for call in REFUSALS:
        method, path = call.split()
        responses = document["paths"][path][method.lower()]["responses"]
        codes = [code for response in responses.values()
                 for told in response.get("content", {}).values() for code in told.get("examples", ())]  # fmt: skip
        for kind in (errors.NoOrchestratorError, errors.StoreUnavailableError, errors.UnavailableError):
            assert kind.code in codes, call


def test_every_answer_in_json_has_examples_that_fit_it(api: ApiBench) -> None:
    routes = {route.name or "": route for route in iter_route_contexts(api.app.routes) if route.include_in_schema}
    answering = {name for name, route in routes.items() if route.response_model is not None}
    assert answering == examples.ANSWERS.keys()
    for name in answering:
        for example in examples.shown(examples.ANSWERS[name]).values():
            TypeAdapter(routes[name].response_model).validate_python(example["value"], strict=True)


def test_the_examples_are_shown_and_their_hashes_are_right(document: dict[str, Any]) -> None:
    shown = document["paths"]["/jobs/{job_id}"]["get"]["responses"]["200"]["content"]["application/json"]["examples"]
    assert set(shown) == {"running", "succeeded", "dead"}
    state = hashlib.sha512(b"hello").digest()
    assert shown["succeeded"]["value"]["hash"] == hashlib.sha512(state).hexdigest()
    assert shown["succeeded"]["value"]["iterations"] == 2


async def test_the_bounds_in_the_document_are_the_bounds(api: ApiBench, document: dict[str, Any]) -> None:
    tried = 0
    for method, path, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            schema = parameter["schema"]
            if schema.get("type") != "integer":
                continue
            for value in (schema["minimum"] - 1, schema["maximum"] + 1):
                tried += 1
                target = path.replace("{job_id}", new_id())
                params = {"iterations": 1} if path == "/enqueue" else {}
                answer = await api.client.request(method, target, params={**params, parameter["name"]: value})
                assert answer.status_code == 422, (path, parameter["name"], value)
                assert [fault["field"] for fault in answer.json()["errors"]] == [parameter["name"]]
    assert tried >= 14
    assert api.far.calls == []


def test_what_fastapi_adds_by_itself_is_not_there(document: dict[str, Any]) -> None:
    assert not {"HTTPValidationError", "ValidationError"} & document["components"]["schemas"].keys()
