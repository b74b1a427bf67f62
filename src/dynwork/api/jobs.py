"""``GET`` and ``DELETE /jobs/{id}``: one job of its owner's."""

from __future__ import annotations

from fastapi import APIRouter, Request

from dynwork import errors
from dynwork.api.auth import KeyGuard, seen_by
from dynwork.api.gateway import Gateway
from dynwork.api.refusals import refusals
from dynwork.rights import Right
from dynwork.wire import JobId, JobReply, JobView


def router(guard: KeyGuard, gateway: Gateway) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["jobs"])

    @routes.get(
        "/jobs/{job_id}",
        dependencies=[guard.needs(Right.READ)],
        summary="How a job stands",
        description="Its state, how far it is (`done` of `iterations`), and its `hash` once it has succeeded.",
        responses=refusals(errors.NotFoundError, errors.InvalidInputError),
    )
    async def job(request: Request, job_id: JobId) -> JobView:
        reply = await gateway.ask("GET", f"/internal/jobs/{job_id}", JobReply, seen_by(request))
        return reply.job

    @routes.delete(
        "/jobs/{job_id}",
        dependencies=[guard.needs(Right.SUBMIT)],
        summary="Cancel a job",
        description="The job ends as `cancelled`, whether it waits or runs. Cancelling it again gives the same answer.",
        responses=refusals(errors.NotFoundError, errors.JobFinishedError, errors.InvalidInputError),
    )
    async def cancel(request: Request, job_id: JobId) -> JobView:
        reply = await gateway.ask("POST", f"/internal/jobs/{job_id}/cancel", JobReply, seen_by(request))
        return reply.job

    return routes
