"""``POST /pullCompleted`` and ``GET /results``: what has been computed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from dynwork import errors
from dynwork.api import cursor
from dynwork.api.auth import KeyGuard, seen_by
from dynwork.api.gateway import Gateway
from dynwork.api.parameters import WholeNumber
from dynwork.api.refusals import refusals
from dynwork.rights import Right
from dynwork.wire import CompletedReply, CompletedView, ResultsPage, ResultsReply

TOP_MAX = 10_000
LIMIT_MAX = 1000


def router(guard: KeyGuard, gateway: Gateway) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["results"])

    @routes.post(
        "/pullCompleted",
        dependencies=[guard.needs(Right.READ)],
        summary="The newest hashes",
        description="Your jobs that succeeded, newest first. Nothing is removed: ask again and they are still there.",
        responses=refusals(errors.InvalidInputError),
    )
    async def pull_completed(
        request: Request,
        top: Annotated[WholeNumber, Query(ge=1, le=TOP_MAX, description="How many at most.")] = 10,
    ) -> list[CompletedView]:
        reply = await gateway.ask("GET", "/internal/completed", CompletedReply, {**seen_by(request), "top": top})
        return reply.results

    @routes.get(
        "/results",
        dependencies=[guard.needs(Right.READ)],
        summary="Everything that ended, in order",
        description=(
            "Every job of yours that ended, in whatever way, in the order in which that was made durable. Pass `next`"
            " of one page as `after` of the following one and nothing is ever skipped or told twice; the `next` of an"
            " empty page is where to look again later. Without `after` the feed starts at the oldest job kept."
        ),
        responses=refusals(errors.InvalidInputError, errors.CursorExpiredError),
    )
    async def results(
        request: Request,
        after: Annotated[str | None, Query(max_length=64, description="`next` of the page before.")] = None,
        limit: Annotated[WholeNumber, Query(ge=1, le=LIMIT_MAX, description="How many at most.")] = 100,
    ) -> ResultsPage:
        params: dict[str, str | int] = {**seen_by(request), "limit": limit}
        if after is not None:
            params["after"] = cursor.decode(after)
        reply = await gateway.ask("GET", "/internal/results", ResultsReply, params)
        return ResultsPage(results=reply.results, next=cursor.encode(reply.next))

    return routes
