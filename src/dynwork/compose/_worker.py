"""Builds a worker."""

from __future__ import annotations

from dynwork import kinds
from dynwork.clock import SystemClock
from dynwork.compose.parts import internal_client, randomness
from dynwork.ids import new_id
from dynwork.orchestrators import Orchestrators
from dynwork.serving import Stop, bind
from dynwork.settings import WorkerSettings
from dynwork.worker import role as worker_role
from dynwork.worker.interruption import Ec2Notices


async def run(settings: WorkerSettings, stop: Stop) -> None:
    """Run a worker until ``stop``."""
    clock = SystemClock()
    installed = kinds.installed()
    listener = bind(settings.worker_host, settings.worker_port)
    async with internal_client() as http, internal_client() as machine:
        notices = Ec2Notices(machine) if settings.worker_notices == "ec2" else None
        uniform = randomness()
        orchestrators = Orchestrators(settings.orchestrator_urls, http, settings.worker_token, clock, uniform)
        outside = worker_role.Outside(orchestrators, clock, uniform, new_id, installed, notices)
        await worker_role.run(settings, outside, listener, stop)
