"""The three pages that every role has: ``/livez``, ``/readyz``, ``/metrics``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

Ready = Callable[[], Awaitable[str | None]]
"""Says what is missing, ``None`` when the role can do its work."""


def pages(registry: CollectorRegistry, ready: Ready, guard: Callable[[Request], None]) -> APIRouter:
    """Return the routes. ``guard`` raises ``UnauthorizedError`` where ``/metrics`` needs a key."""
    router = APIRouter(tags=["health"])

    @router.get("/livez", summary="Is the process alive?")
    async def livez() -> dict[str, str]:
        return {"status": "ok"}

    @router.get(
        "/readyz",
        summary="Can it do its work?",
        responses={503: {"description": "Not now; `missing` says why."}},
    )
    async def readyz(response: Response) -> dict[str, str]:
        missing = await ready()
        if missing is None:
            return {"status": "ok"}
        response.status_code = 503
        return {"status": "unavailable", "missing": missing}

    @router.get("/metrics", summary="Prometheus metrics", response_class=Response)
    async def metrics(request: Request) -> Response:
        guard(request)
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router
