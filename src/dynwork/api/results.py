"""``POST /pullCompleted`` and ``GET /results``: what has been computed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from dynwork import errors
from dynwork.api import cursor
from dynwork.api.auth import KeyGuard, owner, seen_by
from dynwork.api.gateway import Gateway
from dynwork.api.parameters import WHOLE_NUMBER
from dynwork.api.refusals import refusals
from dynwork.api.tail import WAIT_S_MAX, Tail, Waiter
from dynwork.rights import Right
from dynwork.serving import while_connected
from dynwork.wire import CompletedReply, CompletedView, ResultsPage, ResultsReply

NEWEST = "newest"
TOP_MAX = 10_000
LIMIT_MAX = 1000


def router(guard: KeyGuard, gateway: Gateway, tail: Tail) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["results"])

    @routes.post(
        "/pullCompleted",
        dependencies=[guard.needs(Right.READ)],
        summary="The newest hashes",
        response_description="As many as there are, `top` at most.",
        description="Your jobs that succeeded, newest first. Nothing is removed: ask again and they are still there.",
        responses=refusals(errors.InvalidInputError),
    )
    async def pull_completed(
        request: Request,
        top: Annotated[int, Query(ge=1, le=TOP_MAX, description="How many at most."), WHOLE_NUMBER] = 10,
    ) -> list[CompletedView]:
        reply = await gateway.ask("GET", "/internal/completed", CompletedReply, {**seen_by(request), "top": top})
        return reply.results

    @routes.get(
        "/results",
        dependencies=[guard.needs(Right.READ)],
        summary="Everything that ended, in order",
        response_description="A page, and where to go on.",
        description=(
            "Every job of yours that ended, in whatever way, in the order in which that was made durable. Pass `next`"
            " of one page as `after` of the following one and nothing is ever skipped or told twice; the `next` of an"
            " empty page is where to look again later. Without `after` the feed starts at the oldest job kept; with"
            " `after=newest` at what ends from now on. With `wait_s` an empty page is answered only after that time."
        ),
        responses=refusals(errors.InvalidInputError, errors.CursorExpiredError),
    )
    async def results(
        request: Request,
        after: Annotated[
            str | None, Query(max_length=64, description="`next` of the page before, or `newest`.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=LIMIT_MAX, description="How many at most."), WHOLE_NUMBER] = 100,
        wait_s: Annotated[
            int,
            Query(ge=0, le=WAIT_S_MAX, description="Wait up to this many seconds for an end."),
            WHOLE_NUMBER,
        ] = 0,
    ) -> ResultsPage:
        params: dict[str, str | int] = {**seen_by(request), "limit": limit}
        if after == NEWEST:
            params["after"] = await tail.position()
        elif after is not None:
            params["after"] = cursor.decode(after)

        async def look() -> ResultsReply:
            page = await gateway.ask("GET", "/internal/results", ResultsReply, params, placed=wait_s > 0)
            params["after"] = page.next
            return page

        if wait_s == 0:
            page = await look()
        else:
            whose = Waiter(owner=None if "owner" not in params else owner(request))
            waiting = tail.until(whose, wait_s, look, lambda seen: bool(seen.results))
            page = await while_connected(request, waiting)
        return ResultsPage(results=page.results, next=cursor.encode(page.next))

    return routes
