"""The worker's own pages: ``/livez``, ``/readyz``, ``/metrics``. It takes no orders here; it asks for them."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI, Request
from prometheus_client import CollectorRegistry

from dynwork import health, problems
from dynwork.worker.contact import Contact
from dynwork.worker.desk import Desk


def build(desk: Desk, contact: Contact, registry: CollectorRegistry, guard: Callable[[Request], None]) -> FastAPI:
    """Return the app. ``guard`` raises ``UnauthorizedError`` where ``/metrics`` needs the token."""
    app = FastAPI(title="dynwork worker", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    problems.install(app)

    async def ready() -> str | None:
        if not desk.pace.calibrated:
            return "the speed of this worker is being measured"
        if desk.handing_back:
            return "this worker hands its work back and takes no more"
        if contact.silent_s > desk.lease_s:
            return f"no orchestrator has answered within the last {desk.lease_s:.0f} s: {contact.trouble}"
        return None

    app.include_router(health.pages(registry, ready, guard))
    return app
