"""What a call may refuse, for the OpenAPI document: taken from the error tree, so that the two cannot drift apart."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from dynwork.errors import (
    DynworkError,
    ForbiddenError,
    ForeignSiteError,
    InvalidInputError,
    NoOrchestratorError,
    StoreUnavailableError,
    UnauthorizedError,
    UnavailableError,
)
from dynwork.problems import MEDIA_TYPE, STATUS
from dynwork.wire import Problem

ALWAYS: tuple[type[DynworkError], ...] = (
    UnauthorizedError,
    ForbiddenError,
    ForeignSiteError,
    UnavailableError,
    NoOrchestratorError,
    StoreUnavailableError,
)
"""What every call that needs a key may refuse."""
SCHEMA = {"$ref": "#/components/schemas/Problem"}
FAULT = {"field": "iterations", "message": "Input should be greater than or equal to 1"}

RETRY_AFTER = {
    "Retry-After": {
        "description": "Wait so long before you repeat the request, seconds.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    }
}
HEADERS: dict[int, dict[str, Any]] = {
    401: {
        "WWW-Authenticate": {"description": "How to show a key.", "required": True, "schema": {"const": "Bearer"}},
    },
    429: RETRY_AFTER,
    503: RETRY_AFTER,
}
"""Headers of refusals, by status."""


def refusals(*kinds: type[DynworkError]) -> dict[int | str, dict[str, Any]]:
    """Return FastAPI's ``responses`` for a call that refuses with ``kinds``, beside :data:`ALWAYS`."""
    return responses(*kinds, *ALWAYS)


def responses(*kinds: type[DynworkError]) -> dict[int | str, dict[str, Any]]:
    """Return FastAPI's ``responses`` for a call that refuses with ``kinds`` and nothing else."""
    by_status: dict[int, list[type[DynworkError]]] = {}
    for kind in dict.fromkeys(kinds):
        by_status.setdefault(STATUS[kind], []).append(kind)
    return {status: _response(status, by_status[status]) for status in sorted(by_status)}


def _response(status: int, kinds: Sequence[type[DynworkError]]) -> dict[str, Any]:
    codes = {"properties": {"status": {"const": status}, "code": {"enum": [kind.code for kind in kinds]}}}
    response = {
        "description": "\n\n".join(f"`{kind.code}`: {inspect.getdoc(kind)}" for kind in kinds),
        "content": {
            MEDIA_TYPE: {
                "schema": {"allOf": [SCHEMA, codes]},
                "examples": {kind.code: {"value": _example(status, kind)} for kind in kinds},
            }
        },
    }
    return {**response, "headers": HEADERS[status]} if status in HEADERS else response


def _example(status: int, kind: type[DynworkError]) -> dict[str, Any]:
    invalid = kind is InvalidInputError
    problem = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        code=kind.code,
        detail=f"{FAULT['field']}: {FAULT['message']}" if invalid else inspect.getdoc(kind) or kind.code,
        errors=[FAULT] if invalid else None,
    )
    return problem.model_dump(exclude_none=True)
