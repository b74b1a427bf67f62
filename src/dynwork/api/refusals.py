"""What a call may refuse, for the OpenAPI document: taken from the error tree, so that the two cannot drift apart."""

from __future__ import annotations

import inspect
from typing import Any

from fastapi import FastAPI

from dynwork.api import links
from dynwork.errors import (
    DynworkError,
    ForbiddenError,
    ForeignSiteError,
    NoOrchestratorError,
    UnauthorizedError,
)
from dynwork.problems import MEDIA_TYPE, STATUS
from dynwork.wire import BulkJob, Problem, Wire

ALWAYS: tuple[type[DynworkError], ...] = (
    UnauthorizedError,
    ForbiddenError,
    ForeignSiteError,
    NoOrchestratorError,
)
"""What every call that needs a key may refuse."""


READ_BY_HAND: tuple[type[Wire], ...] = (BulkJob,)
"""Models of bodies that routes read themselves, which FastAPI therefore does not see."""


def refusals(*kinds: type[DynworkError]) -> dict[int | str, dict[str, Any]]:
    """Return FastAPI's ``responses`` for a call that refuses with ``kinds``, beside :data:`ALWAYS`."""
    by_status: dict[int, list[str]] = {}
    for kind in (*kinds, *ALWAYS):
        by_status.setdefault(STATUS[kind], []).append(f"`{kind.code}`: {inspect.getdoc(kind)}")
    return {status: {"model": Problem, "description": "\n\n".join(told)} for status, told in sorted(by_status.items())}


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document, every problem under its own media type."""
    document = FastAPI.openapi(app)
    for model in READ_BY_HAND:
        document["components"]["schemas"].setdefault(model.__name__, model.model_json_schema())
    for operations in document["paths"].values():
        for operation in operations.values():
            for response in operation["responses"].values():
                content = response.get("content", {})
                schema = content.get("application/json", {}).get("schema", {})
                if schema.get("$ref", "").endswith("/Problem"):
                    content[MEDIA_TYPE] = content.pop("application/json")
    links.add(document)
    return document
