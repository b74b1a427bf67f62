"""Errors as ``application/problem+json`` (RFC 9457): the ONE table from errors to HTTP statuses, for every role."""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPMethod, HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dynwork import errors, logs
from dynwork.wire import Problem

log = logs.get("dynwork.http")

STATUS: dict[type[errors.DynworkError], int] = {
    errors.EmptyBodyError: 400,
    errors.ClientGoneError: 400,
    errors.UnauthorizedError: 401,
    errors.ForbiddenError: 403,
    errors.ForeignSiteError: 403,
    errors.NotFoundError: 404,
    errors.BodyTooSlowError: 408,
    errors.KeyReusedError: 409,
    errors.JobFinishedError: 409,
    errors.JobNotDeadError: 409,
    errors.CursorExpiredError: 410,
    errors.BodyTooLargeError: 413,
    errors.InvalidInputError: 422,
    errors.UnknownKindError: 422,
    errors.QueueFullError: 429,
    errors.UnavailableError: 503,
    errors.NoOrchestratorError: 503,
    errors.StoreUnavailableError: 503,
}
RETRY_AFTER_S = 1
"""What a client is told to wait when the error itself says nothing, seconds."""
FIELDS_MAX = 100
"""Faults of one request that are listed at most."""
MEDIA_TYPE = "application/problem+json"
CODE_KEY = "dynwork.code"
"""Where in the ASGI scope the code of the problem is left, for those who log requests."""


def problem(
    status: int,
    code: str,
    detail: str,
    field_errors: list[dict[str, str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return the response for one problem."""
    body = Problem(
        title=HTTPStatus(status).phrase, status=status, code=code, detail=detail, errors=field_errors or None
    )
    return JSONResponse(body.model_dump(exclude_none=True), status, headers, media_type=MEDIA_TYPE)


def status_of(error: errors.DynworkError) -> int:
    """Return the status of ``error``: its own or its nearest ancestor's in the table, 500 for what is in neither."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def of_error(error: errors.DynworkError) -> JSONResponse:
    """Return the response for ``error``."""
    status = status_of(error)
    field_errors = error.errors[:FIELDS_MAX] if isinstance(error, errors.InvalidInputError) else None
    response = problem(status, error.code, error.detail, field_errors)
    if status in (429, 503):
        response.headers["Retry-After"] = str(math.ceil(error.retry_after_s or RETRY_AFTER_S))
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, errors.BodyTooLargeError | errors.BodyTooSlowError | errors.ClientGoneError):
        response.headers["Connection"] = "close"  # the rest of the body is not worth reading
    return response


def of_invalid(error: RequestValidationError) -> JSONResponse:
    """Return the response for a request that does not fit its model: which fields, and why; never their values."""
    found = [
        {"field": ".".join(map(str, item["loc"][1:])), "message": item["msg"]} for item in error.errors()[:FIELDS_MAX]
    ]
    detail = "; ".join(f"{item['field']}: {item['message']}" for item in found[:5])
    return problem(422, errors.InvalidInputError.code, detail, found)


def _told(request: Request, response: JSONResponse, code: str) -> JSONResponse:
    request.scope[CODE_KEY] = code
    return response


def of_http(request: Request, error: HTTPException) -> JSONResponse:
    """Return the response for what routing itself refuses: no such page (404), not with this method (405)."""
    detail, headers = str(error.detail), dict(error.headers or {})
    if error.status_code == 404:
        detail = f"there is no page {request.url.path!r} here"
    elif error.status_code == 405:
        headers["Allow"] = ", ".join(sorted(_methods(request)))
        detail = f"{request.method} is not possible on {request.url.path!r}; use {headers['Allow']}"
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
    return _told(request, problem(error.status_code, code, detail, headers=headers), code)


def _methods(request: Request) -> set[str]:
    """Return all methods that the path has: each is a route of its own, and routing names those of the first."""

    def matched(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)

    return set(filter(matched, HTTPMethod))


class Defects:
    """Middleware: a defect is logged with its traceback, once, and answered 500, without it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app; answer for it if it raises before its response began."""
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            if begun or scope["type"] != "http":
                raise  # the server cuts the connection, and logs
            log.exception("request_failed", method=scope["method"], path=scope["path"], exc_info=error)
            response = problem(500, errors.DynworkError.code, "an unexpected error; it is in the log of this role")
            await response(scope, receive, send)


def install(app: FastAPI) -> None:
    """Make ``app`` answer every error as a problem. Middleware added later wraps around this one."""
    app.add_middleware(Defects)

    @app.exception_handler(errors.DynworkError)
    async def refused(request: Request, error: errors.DynworkError) -> JSONResponse:
        return _told(request, of_error(error), error.code)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return _told(request, of_invalid(error), errors.InvalidInputError.code)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        return of_http(request, error)
