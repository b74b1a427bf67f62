"""``/jobs/{id}``: how a job stands, and ending or repeating it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query, Request

from dynwork import errors
from dynwork.api.auth import KeyGuard, seen_by
from dynwork.api.gateway import Gateway
from dynwork.api.parameters import WHOLE_NUMBER
from dynwork.api.refusals import refusals
from dynwork.api.tail import WAIT_S_MAX, Tail, Waiter
from dynwork.rights import Right
from dynwork.serving import while_connected
from dynwork.wire import Accepted, JobId, JobReply, JobView, RequeueReply

WaitS = Annotated[int, Query(ge=0, le=WAIT_S_MAX, description="Wait up to this many seconds for an end."), WHOLE_NUMBER]


def router(guard: KeyGuard, gateway: Gateway, tail: Tail, new_id: Callable[[], str]) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["jobs"])

    @routes.get(
        "/jobs/{job_id}",
        dependencies=[guard.needs(Right.READ)],
        summary="How a job stands",
        response_description="The job, as it is now.",
        description=(
            "Its state, how far it is (`done` of `iterations`), and its `hash` once it has succeeded. With `wait_s` the"
            " answer comes when the job ends, or after that time, however it stands then."
        ),
        responses=refusals(errors.NotFoundError, errors.InvalidInputError),
    )
    async def job(request: Request, job_id: JobId, wait_s: WaitS = 0) -> JobView:
        scope = seen_by(request)

        async def look() -> JobView:
            reply = await gateway.ask("GET", f"/internal/jobs/{job_id}", JobReply, scope, placed=wait_s > 0)
            return reply.job

        if wait_s == 0:
            return await look()
        waiting = tail.until(Waiter(job_id=job_id), wait_s, look, lambda seen: seen.completed_at is not None)
        return await while_connected(request, waiting)

    @routes.delete(
        "/jobs/{job_id}",
        dependencies=[guard.needs(Right.SUBMIT)],
        summary="Cancel a job",
        response_description="The job, cancelled.",
        description="The job ends as `cancelled`, whether it waits or runs. Cancelling it again gives the same answer.",
        responses=refusals(errors.NotFoundError, errors.JobFinishedError, errors.InvalidInputError),
    )
    async def cancel(request: Request, job_id: JobId) -> JobView:
        reply = await gateway.ask("POST", f"/internal/jobs/{job_id}/cancel", JobReply, seen_by(request))
        return reply.job

    @routes.post(
        "/jobs/{job_id}/requeue",
        dependencies=[guard.needs(Right.SUBMIT)],
        status_code=202,
        summary="Try a dead job again",
        response_description="The new job is durable, under this id.",
        description=(
            "A new job for the work of one that is `dead`, from its beginning; `requeued_from` names the dead one,"
            " which stays as it is. Repeating this gives the same new job: a dead job has one successor at most."
        ),
        responses=refusals(
            errors.NotFoundError, errors.JobNotDeadError, errors.InvalidInputError, errors.QueueFullError
        ),
    )
    async def requeue(request: Request, job_id: JobId) -> Accepted:
        params = {**seen_by(request), "new_id": new_id()}
        reply = await gateway.ask("POST", f"/internal/jobs/{job_id}/requeue", RequeueReply, params)
        return Accepted(job_id=reply.job_id)

    return routes
