"""``GET /fleet`` and ``GET /stats``: the whole system, whoever asks."""

from __future__ import annotations

from fastapi import APIRouter

from dynwork.api.auth import KeyGuard
from dynwork.api.gateway import Gateway
from dynwork.api.refusals import refusals
from dynwork.rights import Right
from dynwork.wire import Fleet, FleetReply, Stats, StatsReply


def router(guard: KeyGuard, gateway: Gateway) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["system"])

    @routes.get(
        "/fleet",
        dependencies=[guard.needs(Right.READ)],
        summary="Who computes",
        response_description="The fleet, about a second old at most.",
        description="The workers, the machines they run on, and the latest decision to grow or to shrink.",
        responses=refusals(),
    )
    async def fleet() -> Fleet:
        return (await gateway.ask("GET", "/internal/fleet", FleetReply)).fleet

    @routes.get(
        "/stats",
        dependencies=[guard.needs(Right.READ)],
        summary="The queue in numbers",
        response_description="The numbers, about a second old at most.",
        description="Jobs in each state, the work ahead in steps and in seconds, and how fast it comes and goes.",
        responses=refusals(),
    )
    async def stats() -> Stats:
        return (await gateway.ask("GET", "/internal/stats", StatsReply)).stats

    return routes
