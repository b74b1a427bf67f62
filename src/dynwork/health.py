"""The three pages that every role has: ``/livez``, ``/readyz``, ``/metrics``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from dynwork.wire import Health

Ready = Callable[[], Awaitable[str | None]]
"""Says what is missing, ``None`` when the role can do its work."""
METRICS = {
    "description": "In the text format of Prometheus.",
    "content": {"text/plain": {"schema": {"type": "string"}, "example": "dynwork_api_received_bytes_total 5.0\n"}},
}


def pages(
    registry: CollectorRegistry,
    ready: Ready,
    guard: Callable[[Request], None],
    closed: Mapping[int | str, dict[str, Any]] | None = None,
    warning: Callable[[], str | None] = lambda: None,
) -> APIRouter:
    """Return the routes. ``guard`` raises ``UnauthorizedError`` where ``/metrics`` needs a key; ``closed`` tells so.

    ``warning`` says what somebody must mend although the role can do its work.
    """
    router = APIRouter(tags=["health"])

    @router.head("/livez", include_in_schema=False, response_model_exclude_none=True)
    @router.get(
        "/livez",
        summary="Is the process alive?",
        description="Answers as long as it can: what does not, needs a new start.",
        response_description="It is.",
        response_model_exclude_none=True,
    )
    async def livez() -> Health:
        return Health(status="ok")

    @router.head("/readyz", include_in_schema=False, response_model_exclude_none=True)
    @router.get(
        "/readyz",
        summary="Can it do its work?",
        description="For load balancers: whether to send requests here. Others may be able to while this one is not.",
        response_description="It can.",
        response_model_exclude_none=True,
        responses={503: {"model": Health, "description": "Not now; `missing` says why."}},
    )
    async def readyz(response: Response) -> Health:
        missing = await ready()
        if missing is None:
            return Health(status="ok", warning=warning())
        response.status_code = 503
        return Health(status="unavailable", missing=missing)

    @router.get(
        "/metrics",
        summary="What it counts",
        description="For Prometheus. No label has values that grow. It may need a key, see `DYNWORK_OPEN_PAGES`.",
        response_class=Response,
        responses={200: METRICS, **(closed or {})},
    )
    async def metrics(request: Request) -> Response:
        guard(request)
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router
