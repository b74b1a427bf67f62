"""How many workers: a plan from the work ahead, not from the number of messages.

Every job says how many steps it has left and every worker how many it makes a second of each kind, so the work ahead is
known in seconds (:mod:`.backlog`). The fleet should be able to do it within ``backlog_target_s``:

    want = ceil(seconds of work ahead for one worker / backlog_target_s),  within [fleet_min, fleet_max]

While jobs wait of a kind that nobody has measured, it wants one worker more than are busy: that one shows how fast they
are, and what else is needed is bought when that is known. If they keep all workers busy and still show nothing, the
fleet grows on, one at a time.

A chain cannot be split, so more workers than busy ones plus waiting jobs are of no use. Machines that are still
booting count as workers: what was ordered is not ordered again. Growing needs no cooldown for that reason. Shrinking
waits until nothing is queued that a worker here could take (a kind that none of them has is no reason to keep them
all), ends only workers that hold no lease and have been idle for ``cooldown_s``, the longest idle first, and never
within ``cooldown_s`` of a launch.

:func:`plan` is a function of what is seen and keeps no memory: the same sight gives the same plan.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from dynwork.orchestrator.core.backlog import Ahead, Backlog, ahead
from dynwork.orchestrator.core.job import Instant
from dynwork.orchestrator.core.worker import Paces


@dataclass(frozen=True, slots=True)
class ScalingPolicy:
    """Bounds and pace of the fleet. Durations in seconds.

    ``boot_timeout_s``: a machine whose worker has not been heard of for this long is ended (:func:`overdue`).
    """

    fleet_min: int = 1
    fleet_max: int = 4
    backlog_target_s: float = 5.0
    cooldown_s: float = 5.0
    boot_timeout_s: float = 180.0


@dataclass(frozen=True, slots=True)
class Demand:
    """The work ahead, by kind. ``returning``: jobs that machines under notice hold, and are about to hand back."""

    backlog: Mapping[str, Backlog]
    returning: int = 0

    @property
    def queued(self) -> int:
        """The jobs that no worker has, or will have in a moment."""
        return sum(work.queued for work in self.backlog.values()) + self.returning


class MemberState(StrEnum):
    """``booting``: no worker heard of yet; ``silent``: its worker fell silent; ``leaving``: it is being ended."""

    BOOTING = "booting"
    READY = "ready"
    SILENT = "silent"
    LEAVING = "leaving"


@dataclass(frozen=True, slots=True)
class Member:
    """One machine that has not ended. ``paces``: how fast its worker is, by kind; empty until it was heard of.

    ``since``: when it was launched (booting), last busy (ready) or last heard of (silent).
    """

    instance_id: str
    state: MemberState
    since: Instant
    launched_at: Instant
    paces: Paces = field(default_factory=dict)
    leases: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now: start ``launch`` machines, or end those in ``drain``. ``decision`` says why, with the numbers."""

    launch: int
    drain: tuple[str, ...]
    decision: str


def plan(demand: Demand, fleet: Sequence[Member], policy: ScalingPolicy, now: Instant) -> Plan:
    """Return what the fleet needs. Never more than ``fleet_max`` machines in all, never a busy one ended.

    Silent and leaving machines do no work but take up places until they are gone.
    """
    usable = [member for member in fleet if member.state in (MemberState.BOOTING, MemberState.READY)]
    want = _want(demand, usable, policy)
    words = _words(demand, usable, want, policy)
    if want > len(usable):
        launch = max(0, min(want - len(usable), policy.fleet_max - len(fleet)))
        if launch == 0:
            return Plan(0, (), f"hold: {words}, but {len(fleet)} machines are there or leaving")
        return Plan(launch, (), f"+{launch}: {words}")
    to_start = _to_start(demand, usable)
    keep = max(want, min(len(usable), policy.fleet_max)) if to_start else want
    surplus = len(usable) - keep
    if surplus == 0:
        return Plan(0, (), f"hold: {words}" + (f", but {to_start} jobs wait to start" if keep > want else ""))
    drain = _drainable(usable, policy, now)[:surplus]
    if not drain:
        return Plan(0, (), f"hold: {words}, but none has been idle for {policy.cooldown_s:.1f} s since the last launch")
    idle_s = now - min(member.since for member in drain)
    return Plan(
        0, tuple(member.instance_id for member in drain), f"-{len(drain)}: {words}; idle for up to {idle_s:.1f} s"
    )


def overdue(fleet: Sequence[Member], policy: ScalingPolicy, now: Instant) -> list[Member]:
    """Return the machines whose worker should have been heard of long ago: they will not become useful any more."""
    waiting = (MemberState.BOOTING, MemberState.SILENT)
    return [member for member in fleet if member.state in waiting and now - member.since >= policy.boot_timeout_s]


def _want(demand: Demand, usable: Sequence[Member], policy: ScalingPolicy) -> int:
    busy = sum(member.leases > 0 for member in usable)
    of_use = busy + demand.queued
    work = _ahead(demand, usable)
    if of_use == 0:
        sized = 0
    else:
        workers = work.seconds / policy.backlog_target_s
        if any(unmeasured.queued for unmeasured in work.unmeasured.values()):
            workers = max(workers, busy + 1)
        sized = max(math.ceil(min(workers, of_use, policy.fleet_max)), 1)  # a job may wait that has no step left
    return min(max(sized, busy, policy.fleet_min), policy.fleet_max)


def _to_start(demand: Demand, usable: Sequence[Member]) -> int:
    """Return how many jobs wait that one of these workers could take, as far as they have said what they can."""
    some_may = any(not member.paces for member in usable)
    known = {kind for member in usable for kind in member.paces}
    return sum(work.queued for kind, work in demand.backlog.items() if some_may or kind in known)


def _ahead(demand: Demand, usable: Sequence[Member]) -> Ahead:
    """Return the work ahead for one worker, who is as fast as the average of those that measured themselves."""
    capacity = {}
    for kind in demand.backlog:
        rates = [member.paces[kind].capacity for member in usable if kind in member.paces]
        measured = [rate for rate in rates if rate > 0]
        capacity[kind] = sum(measured) / max(len(measured), 1)
    return ahead(demand.backlog, capacity)


def _drainable(usable: Sequence[Member], policy: ScalingPolicy, now: Instant) -> list[Member]:
    """Return the workers that may be ended now, longest idle first."""
    if any(now - member.launched_at < policy.cooldown_s for member in usable):
        return []
    idle = [
        member
        for member in usable
        if member.state is MemberState.READY and member.leases == 0 and now - member.since >= policy.cooldown_s
    ]
    return sorted(idle, key=lambda member: (member.since, member.instance_id))


def _words(demand: Demand, usable: Sequence[Member], want: int, policy: ScalingPolicy) -> str:
    booting = sum(member.state is MemberState.BOOTING for member in usable)
    workers = f"{len(usable)} worker{'' if len(usable) == 1 else 's'}"
    if booting:
        workers += f" ({booting} booting)"
    work = _ahead(demand, usable)
    parts = [f"{work.seconds / len(usable):.1f} s of work"] if work.seconds > 0 else []
    parts += [
        f"{unmeasured.steps:.0f} steps of {kind} at a rate not known yet"
        for kind, unmeasured in sorted(work.unmeasured.items())
        if unmeasured.steps > 0
    ]
    return (
        f"{' and '.join(parts) or 'no work'} ahead for {workers}, target {policy.backlog_target_s:.1f} s;"
        f" want {want} of {policy.fleet_min} to {policy.fleet_max}"
    )
