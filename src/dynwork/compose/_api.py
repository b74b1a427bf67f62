"""Builds an API instance."""

from __future__ import annotations

from dynwork import kinds
from dynwork.api import role as api_role
from dynwork.api.app import Outside
from dynwork.clock import SystemClock
from dynwork.compose.parts import internal_client, randomness
from dynwork.ids import new_id
from dynwork.orchestrators import Orchestrators
from dynwork.serving import Stop, bind
from dynwork.settings import ApiSettings


async def run(settings: ApiSettings, stop: Stop) -> None:
    """Run an API instance until ``stop``."""
    kinds.installed()  # one that is broken refuses to start, not to work
    clock = SystemClock()
    listener = bind(settings.api_host, settings.api_port)
    async with internal_client() as http:
        orchestrators = Orchestrators(settings.orchestrator_urls, http, settings.api_token, clock, randomness())
        await api_role.run(settings, Outside(orchestrators, clock, new_id, kinds.named), listener, stop)
