"""Builds an orchestrator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from dynwork.clock import Clock, DisciplinedClock, SystemClock
from dynwork.compose import stores
from dynwork.compose.parts import randomness
from dynwork.ids import new_id
from dynwork.orchestrator import role as orchestrator_role
from dynwork.orchestrator.core.scaling import ScalingPolicy
from dynwork.orchestrator.fleet.autoscaler import Autoscaler, FleetRules, Leadership
from dynwork.orchestrator.fleet.autoscaler import Outside as FleetOutside
from dynwork.orchestrator.fleet.local import LocalProvider, LocalSetup
from dynwork.orchestrator.fleet.provider import Provider
from dynwork.orchestrator.metrics import Metrics
from dynwork.orchestrator.store.port import Store
from dynwork.serving import Stop, bind, url_of
from dynwork.settings import OrchestratorSettings

SETTLE_S, APART_S, SIGHT_S_MAX = 5.0, 60.0, 15.0
"""With EC2: the pause between two looks while something is expected; how far its lists may lag; how long a look may
take, seconds."""


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
    async with _provider(settings, seeds, store, clock) as provider:

        def scaler(
            leader: Leadership, worker_gone: orchestrator_role.WorkerGone | None, metrics: Metrics
        ) -> Autoscaler:
            fleet = FleetOutside(store, provider, clock, metrics)
            return Autoscaler(fleet, leader, _fleet_rules(settings, worker_gone))

        await orchestrator_role.run(settings, replace(outside, scaler=scaler), listener, stop)


@asynccontextmanager
async def _provider(
    settings: OrchestratorSettings, seeds: tuple[str, ...], store: Store, clock: Clock
) -> AsyncIterator[Provider]:
    if settings.fleet_provider == "ec2":
        from dynwork.compose import _ec2  # what it imports takes a second, and only EC2 needs it

        async with _ec2.provider(settings, seeds, store, clock) as ec2:
            yield ec2
        return
    setup = LocalSetup(settings.data_dir, seeds, settings.worker_slots, settings.worker_token, settings.worker_orphan_s)
    provider = LocalProvider(setup, clock)
    try:
        yield provider
    finally:
        await provider.close()


def _fleet_rules(settings: OrchestratorSettings, worker_gone: orchestrator_role.WorkerGone | None) -> FleetRules:
    policy = ScalingPolicy(
        fleet_min=settings.fleet_min,
        fleet_max=settings.fleet_max,
        backlog_target_s=settings.backlog_target_s,
        cooldown_s=settings.cooldown_s,
        boot_timeout_s=settings.fleet_boot_timeout_s,
    )
    rules = FleetRules(policy, settings.fleet_tick_s, silent_s=2 * settings.heartbeat_s, worker_gone=worker_gone)
    if settings.fleet_provider == "ec2":
        look_s = settings.fleet_look_s
        settle_s, apart_s = min(SETTLE_S, look_s), min(APART_S, look_s)
        return replace(rules, look_s=look_s, settle_s=settle_s, apart_s=apart_s, sight_s_max=SIGHT_S_MAX)
    return rules
