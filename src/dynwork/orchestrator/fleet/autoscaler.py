"""Observe, plan, act: keeps as many machines as the work ahead needs.

Level-triggered: every tick looks at what is (store, provider), mends the differences (:mod:`.reconcile`), asks the pure
rules for a plan (:mod:`dynwork.orchestrator.core.scaling`) and carries it out. Nothing is remembered that matters: an
orchestrator that dies between any two lines is replaced by one that sees the same and goes on.

The order of a launch is what makes it loss-proof: the intent is stored (under the leader's epoch, counted against the
maximum), then the provider is called with the instance's id as its token, then the reply is stored. An intent without
a reply is asked for again with the same id. An end goes the other way: marked draining together with "holds no lease",
then terminated, repeatedly, and over when the machine is seen to be gone.

Only the leader acts, and only on a fresh sight: when the store or the provider cannot be seen, the tick changes
nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from dynwork import logs
from dynwork.clock import Clock, wait_for_event
from dynwork.errors import FleetError, FleetUnclearError, StaleLeaderError, StoreUnavailableError
from dynwork.ids import new_id
from dynwork.orchestrator.core import scaling
from dynwork.orchestrator.core.instance import Gone, Instance, InstanceState, Launched, Reported
from dynwork.orchestrator.core.retry import RetryPolicy, delay_s
from dynwork.orchestrator.core.scaling import Demand, Plan, ScalingPolicy
from dynwork.orchestrator.fleet.provider import Exit, Provider
from dynwork.orchestrator.fleet.reconcile import Reconciler, Sight, members
from dynwork.orchestrator.store.port import Store

log = logs.get("dynwork.fleet")

LAUNCH_BACKOFF = RetryPolicy(backoff_s=2.0, backoff_s_max=120.0)
"""After launches that failed, or machines that ended before they were of use: half of this, doubling."""

WorkerGone = Callable[[str], Awaitable[object]]
"""Told the id of a worker whose process is known to be dead."""


class Leadership(Protocol):
    """Whether this orchestrator leads."""

    @property
    def epoch(self) -> int | None:
        """The epoch to act under, ``None`` while another leads."""
        ...


@dataclass(frozen=True, slots=True)
class FleetRules:
    """How the fleet is run; durations in seconds.

    A sight that took longer than ``sight_s_max`` to get is stale. A worker not heard of for ``silent_s``, two
    heartbeats, no longer vouches for a machine that the provider does not list. ``worker_gone``: how leases of dead
    workers are given back at once; ``None`` leaves them to expire.
    """

    policy: ScalingPolicy = field(default_factory=ScalingPolicy)
    tick_s: float = 1.0
    sight_s_max: float = 5.0
    silent_s: float = 6.0
    worker_gone: WorkerGone | None = None


class Autoscaler:
    """Runs the fleet while this orchestrator leads."""

    def __init__(
        self, store: Store, provider: Provider, leader: Leadership, clock: Clock, rules: FleetRules | None = None
    ) -> None:
        self._store = store
        self._provider = provider
        self._leader = leader
        self._clock = clock
        self._rules = rules or FleetRules()
        self._epoch: int | None = None
        self._reconciler = Reconciler(self._rules.silent_s)
        self._wake = asyncio.Event()
        self._failures = 0
        self._launch_after = 0.0
        self.decision: str | None = None
        """The latest decision, in words and with its numbers."""

    async def run(self) -> None:
        """Tick until cancelled; a machine that ends unasked is answered at once."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch_exits())
            while True:
                await self.tick()
                await wait_for_event(self._clock, self._wake, self._rules.tick_s)
                self._wake.clear()

    async def tick(self) -> None:
        """Look once and do what is called for."""
        epoch = self._leader.epoch
        if epoch is None:
            self._decide("wait: another orchestrator leads")
            return
        if epoch != self._epoch:  # what was seen under an earlier leadership may be long ago
            self._epoch, self._reconciler = epoch, Reconciler(self._rules.silent_s)
        try:
            began = self._clock.monotonic()
            sight = await self._look()
            if self._clock.monotonic() - began > self._rules.sight_s_max:
                self._decide("hold: the view of the fleet is stale")
                return
            await self._repair(epoch, sight)
            sight = replace(sight, instances=await self._store.instances())
            await self._end_overdue(epoch, sight)
            demand = Demand((await self._store.totals()).backlog)
            await self._act(epoch, scaling.plan(demand, members(sight), self._rules.policy, sight.now))
        except StaleLeaderError:
            self._decide("wait: the leadership has passed to another")
        except (StoreUnavailableError, FleetError) as error:
            self._decide(f"hold: the fleet cannot be seen ({error.code}: {error.detail})")

    async def _look(self) -> Sight:
        """Machines before rows: a row is older than its machine, so what has no row now is a stranger indeed."""
        machines = {machine.instance_id: machine for machine in await self._provider.machines()}
        instances = await self._store.instances()
        workers = {w.facts.instance_id: w for w in await self._store.workers() if w.facts.instance_id is not None}
        return Sight(self._clock.now(), instances, workers, machines)

    # -- mending
    async def _repair(self, epoch: int, sight: Sight) -> None:
        repairs = self._reconciler.compare(sight)
        rows = {row.instance_id: row for row in sight.instances}
        for instance_id, reason in repairs.gone:
            worker = sight.workers.get(instance_id)
            await self._tell_worker_gone(worker.facts.worker_id if worker else None)
            await self._gone(epoch, rows[instance_id], reason)
        for instance_id in repairs.reported:
            await self._store.instance_event(epoch, instance_id, Reported(), sight.now)
            self._failures = 0
        for machine in repairs.adopt:
            await self._adopt(epoch, machine.instance_id, machine.provider_id)
        for instance_id in repairs.end:
            if instance_id not in rows:  # a stranger, which a later leader may have adopted: this checks the epoch
                await self._store.instance_event(epoch, instance_id, Gone("stranger"), sight.now)
            await self._terminate(instance_id)
        if not self._backing_off_s():
            for instance_id in repairs.launch:
                await self._launch(epoch, rows[instance_id])

    async def _adopt(self, epoch: int, instance_id: str, provider_id: str) -> None:
        now = self._clock.now()
        row = await self._store.intend(epoch, instance_id, self._rules.policy.fleet_max, now)
        if row is None or row.state is InstanceState.ENDED:
            log.warning("stranger_ended", instance_id=instance_id, provider_id=provider_id)
            await self._terminate(instance_id)
            return
        await self._store.instance_event(epoch, instance_id, Launched(provider_id), now)
        await self._store.instance_event(epoch, instance_id, Reported(), now)
        log.warning("stranger_adopted", instance_id=instance_id, provider_id=provider_id)

    async def _end_overdue(self, epoch: int, sight: Sight) -> None:
        for member in scaling.overdue(members(sight), self._rules.policy, sight.now):
            reason = f"{member.state}: not heard of for {sight.now - member.since:.0f} s"
            if await self._store.drain_if_idle(epoch, member.instance_id, reason, sight.now):
                log.warning("machine_overdue", instance_id=member.instance_id, reason=reason)
                await self._terminate(member.instance_id)
                self._failed(reason)

    # -- acting
    async def _act(self, epoch: int, plan: Plan) -> None:
        waiting_s = self._backing_off_s()
        if plan.launch and waiting_s:
            self._decide(f"hold: {self._failures} launches failed in a row, next in {waiting_s:.1f} s; {plan.decision}")
            return
        self._decide(plan.decision, acts=bool(plan.launch or plan.drain))
        for _ in range(plan.launch):
            now = self._clock.now()
            row = await self._store.intend(epoch, new_id(), self._rules.policy.fleet_max, now)
            if row is None or not await self._launch(epoch, row):
                break
        for instance_id in plan.drain:
            if await self._store.drain_if_idle(epoch, instance_id, "idle", self._clock.now()):
                await self._terminate(instance_id)

    async def _launch(self, epoch: int, row: Instance) -> bool:
        """Ask for the machine of a stored intent; say whether it was answered."""
        try:
            provider_id = await self._provider.launch(row.instance_id)
        except FleetError as error:
            log.warning("launch_failed", instance_id=row.instance_id, code=error.code, detail=error.detail)
            self._failed(f"{error.code}: {error.detail}")
            if not isinstance(error, FleetUnclearError):  # else it may exist: the intent stays, and is asked for again
                await self._store.instance_event(
                    epoch, row.instance_id, Gone(f"{error.code}: {error.detail}"), self._clock.now()
                )
            return False
        await self._store.instance_event(epoch, row.instance_id, Launched(provider_id), self._clock.now())
        log.info("machine_launched", instance_id=row.instance_id, provider_id=provider_id)
        return True

    async def _terminate(self, instance_id: str) -> None:
        try:
            await self._provider.terminate(instance_id)
        except FleetError as error:  # it is still listed at the next tick, and asked to end again
            log.warning("terminate_failed", instance_id=instance_id, code=error.code, detail=error.detail)

    # -- losses
    async def _watch_exits(self) -> None:
        while True:
            exited = await self._provider.next_exit()
            try:
                await self._ended(exited)
            except (StaleLeaderError, StoreUnavailableError) as error:  # reconcile sees it, too, a little later
                log.warning("exit_not_noted", instance_id=exited.instance_id, code=error.code)
            self._wake.set()

    async def _ended(self, exited: Exit) -> None:
        log.info("machine_ended", instance_id=exited.instance_id, reason=exited.reason)
        workers = await self._store.workers()
        named = [w.facts.worker_id for w in workers if w.facts.instance_id == exited.instance_id]
        await self._tell_worker_gone(named[0] if named else None)
        epoch = self._leader.epoch
        if epoch is None:
            return
        for row in await self._store.instances():
            if row.instance_id == exited.instance_id:
                await self._gone(epoch, row, exited.reason)

    async def _gone(self, epoch: int, row: Instance, reason: str) -> None:
        await self._store.instance_event(epoch, row.instance_id, Gone(reason), self._clock.now())
        if row.state in (InstanceState.INTENDED, InstanceState.BOOTING):
            self._failed(reason)

    async def _tell_worker_gone(self, worker_id: str | None) -> None:
        if self._rules.worker_gone is not None and worker_id is not None:
            await self._rules.worker_gone(worker_id)

    # -- launches that fail
    def _failed(self, why: str) -> None:
        self._failures += 1
        wait_s = delay_s(LAUNCH_BACKOFF, self._failures, 0.0)
        self._launch_after = self._clock.monotonic() + wait_s
        self._decide(f"hold: {self._failures} launches failed in a row ({why}), next in {wait_s:.1f} s")

    def _backing_off_s(self) -> float:
        return max(0.0, self._launch_after - self._clock.monotonic()) if self._failures else 0.0

    def _decide(self, decision: str, *, acts: bool = False) -> None:
        if decision != self.decision:
            self.decision = decision
            (log.info if acts else log.debug)("fleet_decision", decision=decision)
