"""An orchestrator, from start to stop.

The store is opened first and closed last. At a stop the parked asks are answered at once, requests in flight are
served to their end with the rounds still running, the leadership is given up, and then the store lets go of its files.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from prometheus_client import CollectorRegistry, ProcessCollector

from dynwork import logs
from dynwork.addresses import is_unspecified
from dynwork.clock import DisciplinedClock
from dynwork.errors import ConfigurationError
from dynwork.orchestrator import app, routes_api, routes_worker
from dynwork.orchestrator.announcements import Announcements
from dynwork.orchestrator.bodies import Replies
from dynwork.orchestrator.core.leasing import LeasePolicy
from dynwork.orchestrator.core.retry import RetryPolicy
from dynwork.orchestrator.dispatch import Dispatch
from dynwork.orchestrator.grace import Grace
from dynwork.orchestrator.leader import Leader
from dynwork.orchestrator.lines import Lines
from dynwork.orchestrator.metrics import Metrics
from dynwork.orchestrator.outages import Outages
from dynwork.orchestrator.parking import Parking
from dynwork.orchestrator.registry import Registry
from dynwork.orchestrator.reports import Reports
from dynwork.orchestrator.rounds import WAITING_MAX, Rounds
from dynwork.orchestrator.sampler import Sampler
from dynwork.orchestrator.store.port import Store
from dynwork.orchestrator.store.values import Leadership, Rules
from dynwork.orchestrator.sweep import Sweep
from dynwork.orchestrator.tail import Tails
from dynwork.orchestrator.timekeeper import Timekeeper
from dynwork.orchestrator.wakes import Wakes
from dynwork.serving import Background, Stop, serve, url_of
from dynwork.settings import OrchestratorSettings

log = logs.get("dynwork.orchestrator")

ALONE = "the only orchestrator"
"""Holder of the leadership where there can be no other."""

WorkerGone = Callable[[str], Awaitable[object]]
"""Told the id of a worker whose process is known to be dead."""


class Scaler(Protocol):
    """Who starts and ends workers. ``decision``: its latest, in words."""

    decision: str | None

    @property
    def trouble(self) -> object | None:
        """What nobody but a person can mend, and keeps it from its work, in words; ``None``: nothing."""
        ...

    async def run(self) -> None:
        """Look after the fleet, for ever."""
        ...


@dataclass(frozen=True, slots=True)
class Outside:
    """What the composition root builds for an orchestrator. ``uniform`` draws from [0, 1).

    ``scaler`` makes the scaler from who leads, what is told of dead workers (``None``: their leases are left to expire)
    and what counts its launches; without it nobody starts workers but the operator. ``alone``: the store serves one
    orchestrator only, so whoever has opened it leads, and need not wait for the time of one that was killed to run out.
    """

    store: Store
    clock: DisciplinedClock
    uniform: Callable[[], float]
    new_id: Callable[[], str]
    scaler: Callable[[Leader, WorkerGone | None, Metrics], Scaler] | None = None
    alone: bool = False


def rules(settings: OrchestratorSettings) -> Rules:
    """Return what the store applies inside its transactions."""
    return Rules(
        leasing=LeasePolicy(settings.lease_s, settings.heartbeat_s, settings.prefetch_s, settings.lease_batch_max),
        retry=RetryPolicy(
            settings.attempts_max, settings.losses_max, settings.retry_backoff_s, settings.retry_backoff_s_max
        ),
        queue_jobs_max=settings.queue_jobs_max,
    )


class Orchestrator:
    """The parts of one orchestrator, put together over a store that is open."""

    def __init__(self, settings: OrchestratorSettings, outside: Outside, url: str) -> None:
        """``url``: how others reach it."""
        store, clock, leasing = outside.store, outside.clock, rules(settings).leasing
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        metrics = Metrics(registry)
        self.grace = Grace(clock, leasing)
        outages = Outages(self.grace, clock, metrics)
        lines = Lines(round_max=settings.round_items_max, waiting_max=WAITING_MAX)
        self.rounds = Rounds(store, clock, metrics, outages, lines)
        parking = Parking()
        self.dispatch = Dispatch(self.rounds, parking, clock, metrics, settings.poll_wait_s_max)
        holder = ALONE if outside.alone else f"{url} {outside.new_id()}"
        self.registry = Registry(store, clock, outages, url, holder)
        self.announcements = Announcements(store, clock, outages, self.registry.has_peers)
        self.wakes = Wakes(parking, store, clock, outages, self.announcements)
        self.tails = Tails(store, clock, self.announcements)
        self.sweep = Sweep(store, clock, metrics, outages, settings.retention_s)
        self.leader = Leader(store, clock, metrics, outages, holder)
        self.timekeeper = Timekeeper(store, clock, metrics, outages)
        self.sampler = Sampler(store, clock, metrics, outages)
        self.scaler = outside.scaler(self.leader, self._gone(settings), metrics) if outside.scaler else None
        metrics.fleet_stopped.set_function(lambda: self._warning() is not None)
        if self.scaler is not None:
            self.leader.shows(lambda: self.decision)
        self._url, self._clock = url, clock
        self._bounds = (settings.fleet_min, settings.fleet_max)
        self._listen()
        desk = routes_api.Desk(self.rounds, store, self.sampler, self, settings.iterations_max)
        replies = Replies(lambda: self.registry.living)
        self.app = app.create(
            settings,
            for_api=routes_api.routes(desk, self.tails, replies),
            for_workers=routes_worker.routes(
                self.dispatch, Reports(self.rounds, leasing, metrics, outside.uniform), leasing, replies
            ),
            pages=app.health_pages(settings, registry, self._missing, self._warning),
        )

    def _gone(self, settings: OrchestratorSettings) -> WorkerGone | None:
        return self.sweep.worker_gone if settings.worker_gone_shortcut else None

    def _missing(self) -> str | None:
        """Say what keeps this role from its work: a store that can be read may still take nothing (a full disk)."""
        return self.sampler.trouble or ("the store takes nothing at the moment" if self.grace.store_away else None)

    def _warning(self) -> str | None:
        """Say what keeps the fleet from growing. Jobs are served all the same, so this is not unready."""
        trouble = self.scaler.trouble if self.scaler else None
        return None if trouble is None else f"the fleet cannot grow until somebody mends this: {trouble}"

    def _listen(self) -> None:
        self.rounds.on_commit(self.wakes.committed)
        self.rounds.on_commit(lambda _round, receipt: self.tails.ended(receipt.ended))
        self.sweep.on_swept(lambda swept: self.wakes.nudge(swept.claimable))
        self.sweep.on_swept(lambda swept: self.tails.ended(swept.ended))
        self.sampler.on_sample(lambda sample: self.dispatch.drain(sample.workers))

    # -- what is shown of the fleet beside the store's rows
    @property
    def bounds(self) -> tuple[int, int]:
        """Fewest and most workers."""
        return self._bounds

    @property
    def leader_name(self) -> str | None:
        """Who leads, as far as it is known here."""
        if self.leader.leads():
            return self._url
        seen = self._leadership_of_another()
        return seen.holder.partition(" ")[0] if seen else None

    @property
    def decision(self) -> str | None:
        """The latest decision of the leader's scaler, in words."""
        if self.scaler and self.leader.leads():
            return self.scaler.decision
        seen = self._leadership_of_another()
        return seen.decision if seen else None

    def _leadership_of_another(self) -> Leadership | None:
        seen = self.sampler.latest.leadership
        return seen if seen and seen.holder != self.leader.holder and seen.until >= self._clock.now() else None

    async def begin(self) -> None:
        """Get ready to serve: know what time it is, what there is to do, who else is there, and whether to lead.

        Raises ``StoreUnavailableError`` if the store, which has just been opened, does not say what time it is.
        """
        await self.timekeeper.begin()
        await self.sampler.look()
        await self.registry.register()
        await self.leader.renew()

    async def end(self) -> None:
        """Make way: be named no more, and let another lead. For when the background no longer runs."""
        await self.registry.leave()
        await self.leader.resign()

    def background(self, stop: Stop) -> list[Background]:
        """Return the tasks that must run beside the app."""

        async def answer_parked() -> None:
            await stop.wait()
            self.dispatch.stop()
            self.tails.stop()

        return [
            answer_parked,
            self.rounds.run,
            self.wakes.watch,
            self.announcements.announce,
            self.announcements.listen,
            self.timekeeper.run,
            self.registry.run,
            self.leader.run,
            self.sampler.run,
            partial(self.sweep.run, lambda: self.leader.epoch),
            *([self.scaler.run] if self.scaler else []),
        ]


def address(settings: OrchestratorSettings, listener: socket.socket) -> str:
    """Return how others reach the orchestrator on ``listener``: its replies, and those of the others, name it so.

    Raises ``ConfigurationError`` where that can only be known to the operator.
    """
    if settings.orchestrator_url is None and is_unspecified(settings.orchestrator_host):
        raise ConfigurationError(
            f"DYNWORK_ORCHESTRATOR_HOST={settings.orchestrator_host} is every address of this machine: say with"
            " DYNWORK_ORCHESTRATOR_URL by which one others reach it, e.g. http://orchestrator-1.internal:8100"
        )
    return settings.orchestrator_url or url_of(listener)


async def run(settings: OrchestratorSettings, outside: Outside, listener: socket.socket, stop: Stop) -> None:
    """Serve on ``listener`` until ``stop``. Raises ``StoreLockedError`` if the store is another's."""
    try:
        url = address(settings, listener)
        await outside.store.open()
        orchestrator = Orchestrator(settings, outside, url)
        await orchestrator.begin()
        log.info("orchestrator_listening", url=url, provider=settings.fleet_provider)
        await serve(orchestrator.app, listener, stop, orchestrator.background(stop))
        await orchestrator.end()
    finally:
        listener.close()
        await outside.store.close()
    log.info("orchestrator_stopped")
