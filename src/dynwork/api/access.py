"""Every request gets an id, is counted, and leaves one event in the log: at info if it was refused, else at debug.

Plain ASGI: it costs microseconds and streams pass through untouched. The id is the client's ``X-Request-ID`` if that is
sane, else a fresh one; it is bound to everything logged meanwhile and returned in the answer.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dynwork import ids, logs
from dynwork.api.metrics import Metrics
from dynwork.clock import Clock
from dynwork.problems import CODE_KEY

log = logs.get("dynwork.api.access")

HEADER = b"x-request-id"
PATH_LOGGED_MAX = 200
NO_ANSWER = 499
"""Counted for a request whose client was gone before an answer began; never sent."""
_METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH"})


class Access:
    """The middleware."""

    def __init__(self, app: ASGIApp, metrics: Metrics, clock: Clock, new_id: Callable[[], str]) -> None:
        self._app = app
        self._metrics = metrics
        self._clock = clock
        self._new_id = new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the module's text."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = self._clock.monotonic()
        request_id = ids.given_request_id(scope["headers"]) or self._new_id()
        status = NO_ANSWER

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (HEADER, request_id.encode("ascii"))]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, answer)
            finally:
                self._note(scope, status, self._clock.monotonic() - began)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = getattr(scope.get("route"), "path", "unmatched")
        self._metrics.requests.labels(method, route, status).inc()
        self._metrics.seconds.labels(method, route).observe(seconds)
        about = {
            "method": method,
            "path": scope["path"][:PATH_LOGGED_MAX],
            "status": status,
            "owner": scope.get("state", {}).get("owner"),
            "ms": round(seconds * 1000, 1),
        }
        if status >= 400:
            log.info("request_refused", code=scope.get(CODE_KEY), **about)
        else:
            log.debug("request_answered", **about)
