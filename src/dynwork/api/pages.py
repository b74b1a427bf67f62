"""Pages for people: ``/``, and ``/docs`` with ``/openapi.json`` behind it. Nothing of them comes from another host.

``/`` shows what its reader's key may see, and holds nothing itself: it is open wherever the API is, since a browser
could not show a key for it. Swagger UI, which draws ``/docs``, comes with the package ``fastapi-swagger``.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, JSONResponse

from dynwork.api import documents
from dynwork.errors import NotFoundError

SWAGGER = Path(str(resources.files("fastapi_swagger.resources")))
ASSETS = frozenset({"swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"})
ASSET_S_MAX = 3600
"""How long a browser may keep a file of Swagger UI without asking again, seconds."""


def router(guard: Callable[[Request], None]) -> APIRouter:
    """Return the routes. ``guard`` raises ``UnauthorizedError`` where ``/docs`` needs a key."""
    routes = APIRouter(include_in_schema=False)
    page = documents.read("index.html")
    docs_page = documents.read("docs.html")

    @routes.head("/")
    @routes.get("/")
    async def index() -> Response:
        return documents.response(page)

    @routes.get("/openapi.json")
    async def openapi(request: Request) -> Response:
        guard(request)
        return JSONResponse(request.app.openapi())

    @routes.get("/docs")
    async def docs(request: Request) -> Response:
        guard(request)
        # Swagger UI writes `style` into its elements, which no hash can allow.
        return documents.response(docs_page, scripts="'self'", styles="'self' 'unsafe-inline'")

    @routes.get("/docs/{name}")
    async def asset(request: Request, name: str) -> Response:
        guard(request)
        if name not in ASSETS:
            raise NotFoundError(f"there is no page {request.url.path!r} here")
        return FileResponse(SWAGGER / name, headers={"Cache-Control": f"private, max-age={ASSET_S_MAX}"})

    return routes
