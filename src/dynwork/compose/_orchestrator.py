"""Builds an orchestrator."""

from __future__ import annotations

from dataclasses import replace

from dynwork.clock import DisciplinedClock, SystemClock
from dynwork.compose import stores
from dynwork.compose.parts import randomness
from dynwork.ids import new_id
from dynwork.orchestrator import role as orchestrator_role
from dynwork.orchestrator.core.scaling import ScalingPolicy
from dynwork.orchestrator.fleet.autoscaler import Autoscaler, FleetRules, Leadership
from dynwork.orchestrator.fleet.local import LocalProvider, LocalSetup
from dynwork.serving import Stop, bind, url_of
from dynwork.settings import OrchestratorSettings


async def run(settings: OrchestratorSettings, stop: Stop) -> None:
    """Run an orchestrator until ``stop``."""
    clock, alone = DisciplinedClock(SystemClock()), not stores.is_shared(settings)
    listener = bind(settings.orchestrator_host, settings.orchestrator_port)
    url = orchestrator_role.address(settings, listener)
    store = stores.store(settings, orchestrator_role.rules(settings), url)
    outside = orchestrator_role.Outside(store, clock, randomness(), new_id, alone=alone)
    if settings.fleet_provider == "none":
        await orchestrator_role.run(settings, outside, listener, stop)
        return
    seeds = settings.orchestrator_urls or (url_of(listener),)
    setup = LocalSetup(settings.data_dir, seeds, settings.worker_slots, settings.worker_token)
    provider = LocalProvider(setup, clock)

    def scaler(leader: Leadership, worker_gone: orchestrator_role.WorkerGone | None) -> Autoscaler:
        return Autoscaler(store, provider, leader, clock, _fleet_rules(settings, worker_gone))

    try:
        await orchestrator_role.run(settings, replace(outside, scaler=scaler), listener, stop)
    finally:
        await provider.close()


def _fleet_rules(settings: OrchestratorSettings, worker_gone: orchestrator_role.WorkerGone | None) -> FleetRules:
    policy = ScalingPolicy(
        fleet_min=settings.fleet_min,
        fleet_max=settings.fleet_max,
        backlog_target_s=settings.fleet_backlog_target_s,
        cooldown_s=settings.fleet_cooldown_s,
        boot_timeout_s=settings.fleet_boot_timeout_s,
    )
    return FleetRules(policy, settings.fleet_tick_s, silent_s=2 * settings.heartbeat_s, worker_gone=worker_gone)
