"""``/docs`` and ``/openapi.json``: the contract, readable by people and by programs."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import JSONResponse


def router(guard: Callable[[Request], None]) -> APIRouter:
    """Return the routes. ``guard`` raises ``UnauthorizedError`` where they need a key."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/openapi.json")
    async def openapi(request: Request) -> Response:
        guard(request)
        return JSONResponse(request.app.openapi())

    @routes.get("/docs")
    async def docs(request: Request) -> Response:
        guard(request)
        return get_swagger_ui_html(openapi_url="openapi.json", title="dynwork")

    return routes
