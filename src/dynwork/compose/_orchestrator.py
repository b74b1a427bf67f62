"""Builds an orchestrator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dynwork.clock import DisciplinedClock, SystemClock
from dynwork.compose.parts import randomness
from dynwork.errors import ConfigurationError
from dynwork.ids import new_id
from dynwork.orchestrator import role as orchestrator_role
from dynwork.orchestrator.core.scaling import ScalingPolicy
from dynwork.orchestrator.fleet.autoscaler import Autoscaler, FleetRules, Leadership
from dynwork.orchestrator.fleet.local import LocalProvider, LocalSetup
from dynwork.orchestrator.store.sqlite import SqliteStore
from dynwork.serving import Stop, bind, url_of
from dynwork.settings import OrchestratorSettings


async def run(settings: OrchestratorSettings, stop: Stop) -> None:
    """Run an orchestrator until ``stop``."""
    clock = DisciplinedClock(SystemClock())
    store = SqliteStore(_sqlite_path(settings), orchestrator_role.rules(settings))
    listener = bind(settings.orchestrator_host, settings.orchestrator_port)
    outside = orchestrator_role.Outside(store, clock, randomness(), new_id, alone=True)
    if settings.fleet_provider == "none":
        await orchestrator_role.run(settings, outside, listener, stop)
        return
    setup = LocalSetup(settings.data_dir, url_of(listener), settings.worker_slots, settings.worker_token)
    provider = LocalProvider(setup, clock)

    def scaler(leader: Leadership, worker_gone: orchestrator_role.WorkerGone | None) -> Autoscaler:
        return Autoscaler(store, provider, leader, clock, _fleet_rules(settings, worker_gone))

    try:
        await orchestrator_role.run(settings, replace(outside, scaler=scaler), listener, stop)
    finally:
        await provider.close()


def _sqlite_path(settings: OrchestratorSettings) -> Path:
    """Return where the store's file is. Raises ``ConfigurationError`` for a URL of another engine."""
    if settings.store_url is None:
        return settings.data_dir / "dynwork.db"
    scheme, _, path = settings.store_url.partition(":///")
    if scheme != "sqlite" or not path:
        raise ConfigurationError("DYNWORK_STORE_URL must be sqlite:///PATH, e.g. sqlite:////var/lib/dynwork/dynwork.db")
    return Path(path)


def _fleet_rules(settings: OrchestratorSettings, worker_gone: orchestrator_role.WorkerGone | None) -> FleetRules:
    policy = ScalingPolicy(
        fleet_min=settings.fleet_min,
        fleet_max=settings.fleet_max,
        backlog_target_s=settings.fleet_backlog_target_s,
        cooldown_s=settings.fleet_cooldown_s,
        boot_timeout_s=settings.fleet_boot_timeout_s,
    )
    return FleetRules(policy, settings.fleet_tick_s, silent_s=2 * settings.heartbeat_s, worker_gone=worker_gone)
