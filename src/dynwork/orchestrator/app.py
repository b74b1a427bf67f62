"""The orchestrator's HTTP face: internal routes behind two separate tokens, and the health pages.

A router has exactly one guard: API instances and workers each reach their own routes and nothing else, and a client's
key is neither's token. There is no documentation page: these routes are for roles of dynwork only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
from fastapi import APIRouter, Depends, FastAPI, Request
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

from dynwork import health, ids, problems
from dynwork.addresses import is_loopback
from dynwork.errors import UnauthorizedError
from dynwork.security import require_token
from dynwork.settings import OrchestratorSettings

Guard = Callable[[Request], Awaitable[None]]


class RequestIds:
    """Middleware: what is logged while a request is served names it, by the caller's id or by a fresh one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request_id = ids.given_request_id(scope.get("headers", ())) or ids.new_id()
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self._app(scope, receive, send)


def create(settings: OrchestratorSettings, for_api: APIRouter, for_workers: APIRouter, pages: APIRouter) -> FastAPI:
    """Put the app together: each router behind its guard; the health ``pages`` look after themselves."""
    app = FastAPI(title="dynwork orchestrator", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    problems.install(app)
    app.add_middleware(RequestIds)
    app.include_router(for_api, dependencies=[Depends(_only_with(settings.api_token))])
    app.include_router(for_workers, dependencies=[Depends(_only_with(settings.worker_token))])
    app.include_router(pages)
    return app


def metrics_guard(settings: OrchestratorSettings) -> Callable[[Request], None]:
    """Return who may see the metrics: everyone, if pages are open (on loopback by default), else the API's token."""
    open_pages = settings.open_pages if settings.open_pages is not None else is_loopback(settings.orchestrator_host)

    def guard(request: Request) -> None:
        if open_pages:
            return
        if settings.api_token is None:
            raise UnauthorizedError(
                "this page is closed: set DYNWORK_API_TOKEN and show it, or DYNWORK_OPEN_PAGES=true"
            )
        require_token(request, settings.api_token)

    return guard


def health_pages(
    settings: OrchestratorSettings,
    registry: CollectorRegistry,
    missing: Callable[[], str | None],
    warning: Callable[[], str | None],
) -> APIRouter:
    """Return ``/livez``, ``/readyz`` and ``/metrics``.

    ``missing`` says what keeps this role from its work, ``warning`` what somebody must mend all the same.
    """

    async def ready() -> str | None:
        return missing()

    return health.pages(registry, ready, metrics_guard(settings), warning=warning)


def _only_with(token: SecretStr | None) -> Guard:
    async def guard(request: Request) -> None:
        require_token(request, token)

    return guard
