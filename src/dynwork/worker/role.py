"""The worker's role: its parts put together, its pages served beside its work.

``stop`` first lets the worker hand back what it holds; only then do the pages go away.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fastapi import Request
from prometheus_client import CollectorRegistry

from dynwork import logs
from dynwork.addresses import is_loopback
from dynwork.clock import Clock
from dynwork.kinds import DEFAULT_KIND, Kind
from dynwork.orchestrators import Orchestrators
from dynwork.security import require_token
from dynwork.serving import Stop, serve, url_of
from dynwork.settings import WorkerSettings, child_environment
from dynwork.worker import app, lag, loop
from dynwork.worker.asking import Asking
from dynwork.worker.contact import Contact
from dynwork.worker.desk import Desk, Identity
from dynwork.worker.heartbeat import Heartbeat
from dynwork.worker.interruption import Notices
from dynwork.worker.lane_groups import ProcessLanes, ThreadLanes
from dynwork.worker.lanes import Lanes, slots_of
from dynwork.worker.metrics import Metrics
from dynwork.worker.pace import Pace
from dynwork.worker.reporting import Reporting

SECRETS = ("DYNWORK_API_KEYS", "DYNWORK_API_KEY", "DYNWORK_API_TOKEN", "DYNWORK_WORKER_TOKEN")
"""What lane processes, which run foreign code, have no use for."""

log = logs.get("dynwork.worker")


@dataclass(frozen=True, slots=True)
class Outside:
    """What the composition root builds for a worker. ``uniform`` draws from [0, 1).

    ``notices``: where the machine tells of its own end, if it does.
    """

    orchestrators: Orchestrators
    clock: Clock
    uniform: Callable[[], float]
    new_id: Callable[[], str]
    kinds: Mapping[str, Kind]
    notices: Notices | None = None


async def run(settings: WorkerSettings, outside: Outside, listener: socket.socket, stop: Stop) -> None:
    """Run a worker until ``stop``. Raises ``ConfigurationError`` if lanes cannot run on this machine.

    Raises ``OrphanedError`` (in an ``ExceptionGroup``) when no orchestrator has served it for too long.
    """
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    identity = identify(settings, outside)
    metrics.kernel.info({"path": identity.path, "lanes": str(outside.kinds[DEFAULT_KIND].lanes)})
    pace = Pace(settings.slots, {name: kind.lanes for name, kind in outside.kinds.items()})
    desk = Desk(identity, outside.kinds, pace, metrics, outside.clock)
    metrics.watch(lambda: len(desk.holding), lambda: pace.capacity, lambda: pace.chain_speed)
    contact = Contact(outside.orchestrators, outside.clock, identity.worker_id)
    pages = app.build(desk, contact, registry, _guard(settings))
    lanes = _lanes(settings, desk)
    parts = loop.Parts(
        desk,
        contact,
        lanes,
        Asking(desk, contact, outside.clock, outside.uniform),
        Heartbeat(desk, contact, outside.clock, outside.uniform),
        Reporting(desk, contact, outside.clock, outside.uniform),
    )
    rules = loop.Rules(settings.worker_stop_s, settings.orphan_s, outside.notices)
    served = Stop()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(pages, listener, served))
        watching = tasks.create_task(lag.watch(outside.clock, metrics))
        try:
            await lanes.calibrate(outside.kinds[DEFAULT_KIND], settings.worker_calibration_s)
            log.info("worker_started", worker_id=identity.worker_id, url=url_of(listener), **_figures(identity, pace))
            await loop.run(parts, stop, outside.clock, rules)
        finally:
            await lanes.close()
        watching.cancel()
        served.set()


def identify(settings: WorkerSettings, outside: Outside) -> Identity:
    """Say who this worker is. Each process is an incarnation of its own."""
    default = outside.kinds[DEFAULT_KIND]
    return Identity(
        worker_id=settings.worker_id or outside.new_id(),
        incarnation=outside.new_id(),
        started_at=outside.clock.now(),
        lanes=settings.slots * default.lanes,
        path=_path(default),
        kinds=tuple(sorted(outside.kinds)),
        instance_id=settings.worker_instance_id,
        host=socket.gethostname(),
        pid=os.getpid(),
    )


def _path(kind: Kind) -> str:
    """Say what advances ``kind`` here: a kind with several ways of doing it has a ``path``, which has a name."""
    path = getattr(kind, "path", None)
    return "python" if path is None else str(path.name)


def _lanes(settings: WorkerSettings, desk: Desk) -> Lanes:
    environment = {name: value for name, value in child_environment().items() if name not in SECRETS}
    slots = slots_of(
        settings.slots, lambda: ProcessLanes(environment, on_death=desk.metrics.lane_deaths.inc), ThreadLanes
    )
    return Lanes(desk, slots, settings.worker_slice_s)


def _guard(settings: WorkerSettings) -> Callable[[Request], None]:
    """Let whoever asks see the metrics if the pages are open, else only who shows the token."""
    is_open = is_loopback(settings.worker_host) if settings.open_pages is None else settings.open_pages

    def guard(request: Request) -> None:
        if not is_open:
            require_token(request, settings.worker_token)

    return guard


def _figures(identity: Identity, pace: Pace) -> dict[str, object]:
    return {
        "lanes": identity.lanes,
        "path": identity.path,
        "capacity": round(pace.capacity),
        "chain_speed": round(pace.chain_speed),
    }
