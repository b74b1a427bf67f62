"""What workers call: lease, heartbeat, report. Reached with the workers' token only."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Request, Response

from dynwork import serving, wire
from dynwork.orchestrator import bodies, messages
from dynwork.orchestrator.core.leasing import LeasePolicy
from dynwork.orchestrator.dispatch import Dispatch
from dynwork.orchestrator.reports import Reports


def routes(dispatch: Dispatch, reports: Reports, leasing: LeasePolicy, replies: bodies.Replies) -> APIRouter:
    """Return the routes, without a guard."""
    router = APIRouter(prefix="/internal")

    @router.post("/lease")
    async def lease(request: Request) -> Response:
        message = await bodies.read(request, wire.LeaseAsk)
        gone = partial(serving.disconnected, request)
        grant = await dispatch.lease(messages.ask_of(message), message.wait_s, gone)
        return replies.of(
            wire.LeaseReply(
                grants=messages.grants(grant.grants),
                drain=grant.drain,
                heartbeat_s=leasing.heartbeat_s,
                lease_s=leasing.lease_s,
            )
        )

    @router.post("/heartbeat")
    async def heartbeat(request: Request) -> Response:
        return replies.of(await reports.heartbeat(await bodies.read(request, wire.HeartbeatAsk)))

    @router.post("/report")
    async def report(request: Request) -> Response:
        return replies.of(await reports.report(await bodies.read(request, wire.ReportAsk)))

    return router
