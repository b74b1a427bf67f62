"""What is stored against what exists: find the differences in both directions, and say what mends them.

Pure: it looks at one sight of the store and the provider and returns :class:`Repairs`; the autoscaler carries them out.
A provider's list may lag, so a loss and a stranger both need two looks in a row, and a machine whose worker was heard
of lately is not lost. :class:`Reconciler` remembers the last look and nothing else, so starting anew costs one look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dynwork.orchestrator.core.instance import Instance, InstanceState
from dynwork.orchestrator.core.job import Instant
from dynwork.orchestrator.core.scaling import Member, MemberState
from dynwork.orchestrator.core.worker import Worker, WorkerState
from dynwork.orchestrator.fleet.provider import Machine


@dataclass(frozen=True, slots=True)
class Sight:
    """The fleet as seen at ``now``: rows that have not ended, workers heard of, machines that exist."""

    now: Instant
    instances: Sequence[Instance]
    workers: Mapping[str, Worker]
    """By the id of the instance they run on."""
    machines: Mapping[str, Machine]
    """By instance id."""


@dataclass(frozen=True, slots=True)
class Repairs:
    """What to do, by instance id.

    ``launch``: an intent whose call or reply is missing, to be asked for again with the same id; ``reported``: its
    worker was heard of; ``gone``: it exists no more, and why; ``end``: it is to end and is still there; ``adopt``: no
    row knows it, but its worker reports (one that had a row already, and ended by it, cannot be adopted).
    """

    launch: tuple[str, ...] = ()
    reported: tuple[str, ...] = ()
    gone: tuple[tuple[str, str], ...] = ()
    end: tuple[str, ...] = ()
    adopt: tuple[Machine, ...] = ()


class Reconciler:
    """Compares one look with the one before."""

    def __init__(self, silent_s: float) -> None:
        """``silent_s``: a worker not heard of for this long is silent; a little more than its heartbeat, seconds."""
        self._silent_s = silent_s
        self._missing: frozenset[str] = frozenset()
        self._strange: frozenset[str] = frozenset()

    def compare(self, sight: Sight) -> Repairs:
        """Return what this look calls for, and remember it."""
        rows = {row.instance_id for row in sight.instances}
        gone = self._losses(sight)
        lost = {instance_id for instance_id, _ in gone}
        strangers = [machine for machine in sight.machines.values() if machine.instance_id not in rows]
        twice = [machine for machine in strangers if machine.instance_id in self._strange]
        self._strange = frozenset(machine.instance_id for machine in strangers)
        leaving = [row.instance_id for row in sight.instances if row.state is InstanceState.DRAINING]
        return Repairs(
            launch=tuple(row.instance_id for row in sight.instances if row.state is InstanceState.INTENDED),
            reported=tuple(
                row.instance_id
                for row in sight.instances
                if row.state is InstanceState.BOOTING and _heard(sight, row.instance_id) and row.instance_id not in lost
            ),
            gone=tuple(gone),
            end=(
                *(instance_id for instance_id in leaving if instance_id in sight.machines),
                *(machine.instance_id for machine in twice if not _heard(sight, machine.instance_id)),
            ),
            adopt=tuple(machine for machine in twice if _heard(sight, machine.instance_id)),
        )

    def _losses(self, sight: Sight) -> list[tuple[str, str]]:
        """Return the rows whose machine was missing at both looks, and whose worker is silent."""
        before = self._missing
        missing = [
            row
            for row in sight.instances
            if row.state is not InstanceState.INTENDED and row.instance_id not in sight.machines
        ]
        self._missing = frozenset(row.instance_id for row in missing)
        return [
            (row.instance_id, _REASONS.get(row.state, "vanished"))
            for row in missing
            if row.instance_id in before and not self._heard_lately(sight, row.instance_id)
        ]

    def _heard_lately(self, sight: Sight, instance_id: str) -> bool:
        worker = sight.workers.get(instance_id)
        return worker is not None and sight.now - worker.last_seen_at < self._silent_s


_REASONS = {InstanceState.BOOTING: "vanished before its worker reported", InstanceState.DRAINING: "ended"}


def members(sight: Sight) -> list[Member]:
    """Return the fleet as the scaling rules see it."""
    return [_member(row, sight.workers.get(row.instance_id)) for row in sight.instances]


def _member(row: Instance, worker: Worker | None) -> Member:
    launched_at = row.launched_at if row.launched_at is not None else row.intended_at
    if row.state is InstanceState.DRAINING:
        return Member(row.instance_id, MemberState.LEAVING, launched_at, launched_at)
    if worker is None or row.state is not InstanceState.RUNNING:
        return Member(row.instance_id, MemberState.BOOTING, launched_at, launched_at)
    lost = worker.state is WorkerState.LOST
    return Member(
        row.instance_id,
        MemberState.SILENT if lost else MemberState.READY,
        since=worker.last_seen_at if lost else worker.busy_at,
        launched_at=launched_at,
        paces=worker.facts.paces,
        leases=worker.leases,
    )


def _heard(sight: Sight, instance_id: str) -> bool:
    worker = sight.workers.get(instance_id)
    return worker is not None and worker.state is not WorkerState.LOST
