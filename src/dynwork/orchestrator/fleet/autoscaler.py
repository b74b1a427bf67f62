"""Observe, plan, act: keeps as many machines as the work ahead needs.

Level-triggered: every tick looks at what is, mends the differences (:mod:`.reconcile`), asks the pure rules for a plan
(:mod:`dynwork.orchestrator.core.scaling`) and carries it out (:mod:`.launching`). Nothing is remembered that matters:
an orchestrator that dies between any two lines is replaced by one that sees the same and goes on.

The store's rows are the ledger and are read at every tick; what the provider has is looked at now and then, and at once
when there is something to see (:mod:`.lookout`).

An end goes the other way round than a launch: marked draining together with "holds no lease", then terminated,
repeatedly, and over when the machine is seen to be gone. A machine under notice (the provider will take it back) gets
no work, hands back what it has, and no longer counts, so that its successor is launched at once; then it is ended, too.

Only the leader acts, and only on a fresh sight: when the store or the provider cannot be seen, the tick changes
nothing.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field, replace
from typing import Protocol

from dynwork import logs
from dynwork.clock import Clock, wait_for_event
from dynwork.errors import FleetDeniedError, FleetError, FleetTemplateError, StaleLeaderError, StoreUnavailableError
from dynwork.orchestrator.core import scaling
from dynwork.orchestrator.core.instance import Gone, Instance, InstanceState, Launched, Noticed, Reported
from dynwork.orchestrator.core.scaling import Demand, Plan, ScalingPolicy
from dynwork.orchestrator.fleet.launching import Launcher
from dynwork.orchestrator.fleet.lookout import Lookout
from dynwork.orchestrator.fleet.losses import Losses, WorkerGone
from dynwork.orchestrator.fleet.provider import Machine, Provider, Trouble
from dynwork.orchestrator.fleet.reconcile import Reconciler, Sight, by_instance, is_unsettled, members, returning
from dynwork.orchestrator.fleet.renewal import REASON, Renewal, has_successor
from dynwork.orchestrator.metrics import Metrics
from dynwork.orchestrator.store.port import Store

log = logs.get("dynwork.fleet")


class Leadership(Protocol):
    """Whether this orchestrator leads."""

    @property
    def epoch(self) -> int | None:
        """The epoch to act under, ``None`` while another leads."""
        ...


@dataclass(frozen=True, slots=True)
class FleetRules:
    """How the fleet is run; durations in seconds.

    A sight that took longer than ``sight_s_max`` to get is stale. The provider is asked every ``look_s``, and every
    ``settle_s`` while there is something to see; its list may lag by ``apart_s``. A worker not heard of for
    ``silent_s``, two heartbeats, no longer vouches for a machine that the provider does not list. ``worker_gone``: see
    :class:`Losses`.
    """

    policy: ScalingPolicy = field(default_factory=ScalingPolicy)
    tick_s: float = 1.0
    look_s: float = 0.0
    settle_s: float = 0.0
    apart_s: float = 0.0
    sight_s_max: float = 5.0
    silent_s: float = 6.0
    worker_gone: WorkerGone | None = None


@dataclass(frozen=True, slots=True)
class Outside:
    """What the fleet is run with. ``metrics``: of this orchestrator, if anybody reads them."""

    store: Store
    provider: Provider
    clock: Clock
    metrics: Metrics | None = None


class Autoscaler:
    """Runs the fleet while this orchestrator leads."""

    def __init__(self, outside: Outside, leader: Leadership, rules: FleetRules | None = None) -> None:
        self._store = outside.store
        self._provider = outside.provider
        self._clock = outside.clock
        self._leader = leader
        self._rules = rules or FleetRules()
        self._launcher = Launcher(outside.store, outside.provider, outside.clock, outside.metrics)
        self._losses = Losses(
            outside.store, outside.clock, self._launcher, lambda: leader.epoch, self._rules.worker_gone
        )
        self._epoch: int | None = None
        self._wake = asyncio.Event()
        self._begin_anew()
        self.decision: str | None = None
        """The latest decision, in words and with its numbers."""

    def _begin_anew(self) -> None:
        """What was seen under an earlier leadership may be long ago."""
        rules = self._rules
        self._reconciler = Reconciler(rules.silent_s, rules.apart_s)
        self._told_at: dict[str, float] = {}
        self._cannot_end: Trouble | None = None
        self._renewal = Renewal()
        self._lookout = Lookout(self._provider, self._clock, rules.look_s, rules.settle_s)

    @property
    def trouble(self) -> Trouble | None:
        """What nobody but a person can mend, and keeps the fleet from growing; ``None`` while another leads."""
        if self._leader.epoch is None:
            return None
        return self._launcher.trouble or self._lookout.trouble or self._cannot_end

    async def run(self) -> None:
        """Tick until cancelled; a machine that ends unasked is answered at once."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._losses.watch(self._provider.next_exit, self._wake))
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
        if epoch != self._epoch:
            self._epoch = epoch
            self._begin_anew()
        try:
            began = self._clock.monotonic()
            sight = await self._look()
            if self._clock.monotonic() - began > self._rules.sight_s_max:
                self._decide("hold: the view of the fleet is stale")
                return
            await self._repair(epoch, sight)
            sight = replace(sight, instances=await self._store.instances())
            await self._end_noticed(epoch, sight)
            await self._end_overdue(epoch, sight)
            await self._follow_plan(epoch, sight)
        except StaleLeaderError:
            self._decide("wait: the leadership has passed to another")
        except (StoreUnavailableError, FleetError) as error:
            self._decide(f"hold: the fleet cannot be seen ({error.code}: {error.detail})")

    async def _look(self) -> Sight:
        """Machines before rows: a row is older than its machine, so what has no row now is a stranger indeed."""
        machines = await self._lookout.machines()
        instances = await self._store.instances()
        workers = {w.facts.instance_id: w for w in await self._store.workers() if w.facts.instance_id is not None}
        sight = Sight(self._clock.now(), instances, workers, *by_instance(machines, instances))
        if machines is not None:
            self._renewal.look(machines)
            self._told_at = {
                m.provider_id: at for m in machines if (at := self._told_at.get(m.provider_id)) is not None
            }
        self._lookout.expects = is_unsettled(sight, self._rules.silent_s) or (
            self._lookout.expects and machines is None  # what was to be seen was not looked for yet
        )
        return sight

    # -- mending
    async def _repair(self, epoch: int, sight: Sight) -> None:
        repairs = self._reconciler.compare(sight, forsaken=self._launcher.forsaken)
        rows = {row.instance_id: row for row in sight.instances}
        for instance_id, reason in repairs.gone:
            worker = sight.workers.get(instance_id)
            worker_id = worker.facts.worker_id if worker else None
            await self._losses.gone(epoch, rows[instance_id], worker_id, reason)
        for machine in repairs.launched:
            await self._store.instance_event(epoch, machine.instance_id, Launched(machine.provider_id), sight.now)
            self._launcher.over(machine.instance_id)
        for instance_id in repairs.reported:
            await self._store.instance_event(epoch, instance_id, Reported(), sight.now)
            self._launcher.reported()
        for instance_id, notice in repairs.noticed:
            await self._store.instance_event(epoch, instance_id, Noticed(notice), sight.now)
            log.warning("machine_noticed", instance_id=instance_id, reason=notice)
        for machine in repairs.adopt:
            await self._adopt(epoch, machine, sight.now)
        for machine in repairs.strangers:  # which a later leader may have adopted: this checks the epoch
            await self._store.instance_event(epoch, machine.instance_id, Gone("stranger"), sight.now)
        for machine in (*repairs.end, *repairs.strangers):
            await self._terminate(machine)
        for instance_id in repairs.launch:
            await self._launcher.again(epoch, rows[instance_id])

    async def _adopt(self, epoch: int, machine: Machine, now: float) -> None:
        found = Instance(machine.instance_id, InstanceState.RUNNING, now, machine.provider_id, now)
        row = await self._store.adopt(epoch, found, self._rules.policy.fleet_max, now)
        log.warning("stranger_adopted", instance_id=machine.instance_id, state=row.state, reason=row.reason)

    async def _end_noticed(self, epoch: int, sight: Sight) -> None:
        """End what was given up, once it holds nothing."""
        for row in sight.instances:
            if row.state is InstanceState.NOTICED:
                await self._end_if_idle(epoch, row, row.reason or "noticed")

    async def _end_overdue(self, epoch: int, sight: Sight) -> None:
        rows = {row.instance_id: row for row in sight.instances}
        for member in scaling.overdue(members(sight), self._rules.policy, sight.now):
            reason = f"{member.state}: not heard of for {sight.now - member.since:.0f} s"
            if await self._end_if_idle(epoch, rows[member.instance_id], reason):
                log.warning("machine_overdue", instance_id=member.instance_id, reason=reason)
                self._launcher.failed(reason)

    # -- acting
    async def _follow_plan(self, epoch: int, sight: Sight) -> None:
        """Plan without the machine that is to be replaced, if there is one; give it up when its successor is ready."""
        late = self._renewal.next(sight.instances)
        others = [member for member in members(sight) if member.instance_id != late]
        demand = Demand((await self._store.totals()).backlog, returning(sight, late))
        plan = scaling.plan(demand, others, self._rules.policy, sight.now)
        if late is not None and has_successor(others, plan):
            await self._store.instance_event(epoch, late, Noticed(REASON), sight.now)
            log.info("machine_outdated", instance_id=late)
            late = None
        await self._act(epoch, plan, self._rules.policy.fleet_max + (late is not None))

    async def _act(self, epoch: int, plan: Plan, fleet_max: int) -> None:
        if plan.launch and self._launcher.hold is None:
            self._decide(plan.decision, acts=True)
            await self._launcher.launch(epoch, plan.launch, fleet_max)
            self._lookout.expects = True
        hold = self._launcher.hold
        if plan.launch and hold is not None:
            self._decide(f"hold: {hold}; {plan.decision}")
        elif not plan.launch:
            self._decide(plan.decision, acts=bool(plan.drain))
        rows = {row.instance_id: row for row in await self._store.instances()} if plan.drain else {}
        for instance_id in plan.drain:
            if instance_id in rows:
                await self._end_if_idle(epoch, rows[instance_id], "idle")

    async def _end_if_idle(self, epoch: int, row: Instance, reason: str) -> bool:
        """End a machine unless it holds a lease; say whether it did not."""
        if not await self._store.drain_if_idle(epoch, row.instance_id, reason, self._clock.now()):
            return False
        if row.provider_id is not None:
            await self._terminate(Machine(row.instance_id, row.provider_id))
        return True

    async def _terminate(self, machine: Machine) -> None:
        now = self._clock.monotonic()
        if now - self._told_at.get(machine.provider_id, -math.inf) < self._rules.settle_s:
            return
        self._told_at[machine.provider_id] = now
        self._lookout.expects = True
        try:
            await self._provider.terminate(machine)
        except FleetError as error:  # it is still listed at the next look, and asked to end again
            log.warning("terminate_failed", instance_id=machine.instance_id, code=error.code, detail=error.detail)
            if isinstance(error, (FleetDeniedError, FleetTemplateError)):
                self._cannot_end = Trouble(error.code, error.detail)
        else:
            self._cannot_end = None

    def _decide(self, decision: str, *, acts: bool = False) -> None:
        if decision != self.decision:
            self.decision = decision
            (log.info if acts else log.debug)("fleet_decision", decision=decision)
