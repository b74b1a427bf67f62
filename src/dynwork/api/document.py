"""The OpenAPI document: what FastAPI knows of the routes, with examples, rights, and words for a stranger."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from dynwork.api import links
from dynwork.api.examples import ANSWERS, shown
from dynwork.wire import BulkJob, Problem, Wire

DESCRIPTION = """\
CPU-heavy work over HTTP: hand in a buffer, and it is hashed as often as you say, on machines that come and go by
themselves. A job that was accepted gets exactly one result, through any crash.

    curl -T photo.jpg 'http://127.0.0.1:8000/enqueue?iterations=1000000'
    {"job_id":"01a20ee7-be73-7d2f-9c41-5b8e03d6a17c"}

    curl 'http://127.0.0.1:8000/jobs/01a20ee7-be73-7d2f-9c41-5b8e03d6a17c?wait_s=30'
    {"job_id":"01a20ee7-be73-7d2f-9c41-5b8e03d6a17c","state":"succeeded","hash":"…",…}

**Keys.** Where keys are set, show yours: `Authorization: Bearer KEY`. It stands for an owner, who sees their own jobs
and no others, and has rights: each call says which one it needs.

**Repeating.** Every call may be repeated. A job is submitted once however often it is sent, if it has a key of its own:
`Idempotency-Key`, or `key` in bulk. A key holds among its owner's jobs, for as long as the job is kept: by default 7
days after its end.

**Errors** are `application/problem+json` (RFC 9457) with a stable `code` for programs and a `detail` for people. Those
with status 429 and 503 say in `Retry-After` when to try again. `X-Request-ID`, yours or one that is made for you, is in
every answer and in the log.

**Times** are ISO 8601 in UTC. **Ids** are UUIDv7. Programs ignore fields that they do not know: new ones may come.
"""
TAGS = [
    {"name": "work", "description": "Hand in what is to be computed."},
    {"name": "results", "description": "Fetch what was computed: the newest, or all of it in order, each once."},
    {"name": "jobs", "description": "Look after jobs: how they stand, waiting for one, cancelling, trying again."},
    {"name": "system", "description": "The queue and the machines behind it; the same for everybody."},
    {"name": "health", "description": "For load balancers and monitoring of this one API instance."},
]
LICENSE = {"name": "Apache License 2.0", "identifier": "Apache-2.0"}

UNSEEN: tuple[type[Wire], ...] = (BulkJob, Problem)
"""Models that FastAPI does not see: of bodies that routes read themselves, and of refusals."""


def describe(app: FastAPI, iterations_max: int) -> dict[str, Any]:
    """Return the OpenAPI document. ``iterations_max``: the bound that is set here."""
    if app.openapi_schema is None:
        document = FastAPI.openapi(app)
        for model in UNSEEN:
            document["components"]["schemas"][model.__name__] = model.model_json_schema()
        document["components"]["schemas"]["BulkJob"]["properties"]["iterations"]["maximum"] = iterations_max
        for operation in _operations(document):
            _show_rights(operation)
            _show_answers(operation)
        links.add(document)
    return FastAPI.openapi(app)


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for operations in document["paths"].values():
        yield from operations.values()


def _show_rights(operation: dict[str, Any]) -> None:
    """Say it in words, too: programs that show the document do not show the rights of keys."""
    rights = [f"`{right}`" for needed in operation.get("security", ()) for right in needed["key"]]
    if rights:
        operation["description"] += f"\n\nNeeds a key with the right {' and '.join(rights)}."


def _show_answers(operation: dict[str, Any]) -> None:
    answers = ANSWERS.get(operation["operationId"])
    if answers is None:
        return
    (succeeded,) = (response for status, response in operation["responses"].items() if status < "300")
    succeeded["content"]["application/json"]["examples"] = shown(answers)
