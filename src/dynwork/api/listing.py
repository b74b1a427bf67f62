"""``GET /jobs``: pages of jobs, newest first."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from dynwork import errors
from dynwork.api import cursor
from dynwork.api.auth import KeyGuard, owner, seen_by
from dynwork.api.gateway import Gateway
from dynwork.api.parameters import WHOLE_NUMBER
from dynwork.api.refusals import refusals
from dynwork.rights import Right
from dynwork.wire import JobsPage, JobsReply, JobStateName

LIMIT_MAX = 1000


def router(guard: KeyGuard, gateway: Gateway) -> APIRouter:
    """Return the route."""
    routes = APIRouter(tags=["jobs"])

    @routes.get(
        "/jobs",
        dependencies=[guard.needs(Right.READ)],
        summary="Your jobs, newest first",
        response_description="A page, and where to go on.",
        description=(
            "A page of your jobs, newest first. Go on with `cursor=` the `next` of the page before until `next` is"
            " null; a page may be short, or even empty, while there is more. A key with the right `admin` sees"
            " everybody's, and `owner=` narrows that."
        ),
        responses=refusals(errors.InvalidInputError),
    )
    async def jobs(
        request: Request,
        state: Annotated[JobStateName | None, Query(description="Only jobs that are in this state.")] = None,
        limit: Annotated[int, Query(ge=1, le=LIMIT_MAX, description="How many at most."), WHOLE_NUMBER] = 100,
        after: Annotated[
            str | None, Query(alias="cursor", max_length=64, description="`next` of the page before.")
        ] = None,
        whose: Annotated[
            str | None, Query(alias="owner", min_length=1, max_length=64, description="Only this owner's jobs.")
        ] = None,
    ) -> JobsPage:
        params = {**seen_by(request), "limit": limit}
        if whose is not None:
            if "owner" in params and whose != owner(request):
                raise errors.ForbiddenError("this key sees its own owner's jobs only: others need the right 'admin'")
            params["owner"] = whose
        if state is not None:
            params["state"] = state
        if after is not None:
            params["before"] = cursor.decode_job(after)
        reply = await gateway.ask("GET", "/internal/jobs", JobsReply, params)
        return JobsPage(jobs=reply.jobs, next=None if reply.next is None else cursor.encode_job(reply.next))

    return routes
