"""``GET /events``: the queue, the fleet and the latest results as server-sent events, for eyes.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from dynwork import errors
from dynwork.api.auth import KeyGuard, owner, seen_by
from dynwork.api.board import Board, Watcher
from dynwork.api.refusals import refusals
from dynwork.clock import Clock, wait_for_event
from dynwork.rights import Right

SILENT_S_MAX = 15.0
"""A comment is sent after so long without an event, seconds: what lies between keeps the connection open."""
RETRY = b"retry: 2000\n\n"
"""When to connect again after the connection was lost, milliseconds."""
COMMENT = b": nothing new\n\n"
EXAMPLE = (
    'event: stats\ndata: {"queued":3,"leased":2}\n\nevent: results\ndata: [{"job_id":"…","state":"succeeded"}]\n\n'
)


def router(guard: KeyGuard, board: Board, clock: Clock) -> APIRouter:
    """Return the route."""
    routes = APIRouter(tags=["system"])

    @routes.get(
        "/events",
        dependencies=[guard.needs(Right.READ)],
        response_class=StreamingResponse,
        summary="Watch it live",
        description=(
            "Server-sent events: `stats` and `fleet` as in the calls of those names, whenever they change, and"
            " `results`, a list of your jobs that ended just now. For eyes: of very many at once only the newest are"
            " told. `trouble` with a `code` tells that the numbers could not be had."
        ),
        responses={
            **refusals(errors.UnavailableError),
            200: {
                "description": "Events, until either side closes the connection.",
                "content": {"text/event-stream": {"schema": {"type": "string"}, "example": EXAMPLE}},
            },
        },
    )
    async def events(request: Request) -> StreamingResponse:
        return Live(board, owner(request) if "owner" in seen_by(request) else None, clock)

    return routes


class Live(StreamingResponse):
    """What changes, for one page of ``whose`` (``None``: everybody's), which has a place before the answer begins."""

    def __init__(self, board: Board, whose: str | None, clock: Clock) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__((), media_type="text/event-stream", headers=headers)
        self._board = board
        self._whose = whose
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See :class:`starlette.responses.Response`. Raises ``UnavailableError`` before the answer begins."""
        with self._board.watching(self._whose) as watcher:
            self.body_iterator = stream(self._board, watcher, self._clock)
            await super().__call__(scope, receive, send)


async def stream(board: Board, watcher: Watcher, clock: Clock) -> AsyncGenerator[bytes]:
    """Yield what changes until the role stops."""
    yield RETRY
    while not board.closed:
        watcher.bell.clear()
        for name, value in watcher.news():
            yield f"event: {name}\ndata: {value}\n\n".encode()
        if not await wait_for_event(clock, watcher.bell, SILENT_S_MAX):
            yield COMMENT
