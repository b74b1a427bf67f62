"""``GET /events``: the queue, the fleet and the latest results as server-sent events, for eyes.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from dynwork import errors
from dynwork.api.auth import KeyGuard, owner, seen_by
from dynwork.api.board import Board
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
        board.require_room()
        whose = owner(request) if "owner" in seen_by(request) else None
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(stream(board, whose, clock), media_type="text/event-stream", headers=headers)

    return routes


async def stream(board: Board, whose: str | None, clock: Clock) -> AsyncGenerator[bytes]:
    """Yield what changes, for the pages of ``whose`` (``None``: everybody's), until the role stops."""
    yield RETRY
    with board.watching(whose) as watcher:
        while not board.closed:
            watcher.bell.clear()
            for name, value in watcher.news():
                yield f"event: {name}\ndata: {value}\n\n".encode()
            if not await wait_for_event(clock, watcher.bell, SILENT_S_MAX):
                yield COMMENT
