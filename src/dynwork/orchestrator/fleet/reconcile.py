"""What is stored against what exists: find the differences in both directions, and say what mends them.

Pure: it looks at one sight of the store and the provider and returns :class:`Repairs`; the autoscaler carries them out.
A provider's list may lag, so a loss and a stranger both need two looks, some time apart, and a machine whose worker was
heard of lately is not lost; only what the provider knows to have ended is lost at once. :class:`Reconciler` remembers
since when something is missing or strange and nothing else, so starting anew costs one look.

A sight without a look at the provider (its list is dear) says nothing of losses and strangers; what workers say of
their machines is heeded all the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dynwork.orchestrator.core.instance import Instance, InstanceState
from dynwork.orchestrator.core.job import Instant
from dynwork.orchestrator.core.scaling import Member, MemberState
from dynwork.orchestrator.core.worker import Worker, WorkerState
from dynwork.orchestrator.fleet.provider import Machine, Presence

_REASONS = {
    InstanceState.INTENDED: "never appeared",
    InstanceState.BOOTING: "vanished before its worker reported",
    InstanceState.NOTICED: "ended",
    InstanceState.DRAINING: "ended",
}


@dataclass(frozen=True, slots=True)
class Sight:
    """The fleet as seen at ``now``: rows that have not ended, workers heard of, machines that exist."""

    now: Instant
    instances: Sequence[Instance]
    workers: Mapping[str, Worker]
    """By the id of the instance they run on."""
    machines: Mapping[str, Machine] | None
    """By instance id; ``None`` if the provider was not asked this time."""
    doubles: Sequence[Machine] = ()
    """Machines beside those of the same id in ``machines``: there should be none."""


@dataclass(frozen=True, slots=True)
class Repairs:
    """What to do, by instance id.

    ``launch``: an intent whose call or reply is missing, to be asked for again with the same id; ``launched``: an
    intent whose machine is there; ``reported``: its worker was heard of; ``noticed``: its worker says that it is about
    to go, and why; ``gone``: it exists no more, and why; ``end``: it is to end and is still there; ``strangers``: there
    without a row, and nobody works on it; ``adopt``: no row knows it, but its worker reports.
    """

    launch: tuple[str, ...] = ()
    launched: tuple[Machine, ...] = ()
    reported: tuple[str, ...] = ()
    noticed: tuple[tuple[str, str], ...] = ()
    gone: tuple[tuple[str, str], ...] = ()
    end: tuple[Machine, ...] = ()
    strangers: tuple[Machine, ...] = ()
    adopt: tuple[Machine, ...] = ()


class Reconciler:
    """Compares one look with those before."""

    def __init__(self, silent_s: float, apart_s: float = 0.0) -> None:
        """``silent_s``: a worker not heard of for this long is silent; a little more than its heartbeat, seconds.

        ``apart_s``: two looks of which the second makes a loss or a stranger certain are so far apart at least, and
        as long after a launch; how far the provider's list may lag, seconds.
        """
        self._silent_s = silent_s
        self._apart_s = apart_s
        self._missing: dict[str, Instant] = {}
        self._strange: dict[str, Instant] = {}

    def compare(self, sight: Sight, *, forsaken: Collection[str] = ()) -> Repairs:
        """Return what this look calls for, and remember it.

        ``forsaken``: intents that cannot be asked for again: they appear, or they never were.
        """
        gone = dict(self._losses(sight, forsaken)) if sight.machines is not None else {}
        rows = [row for row in sight.instances if row.instance_id not in gone]
        machines = sight.machines or {}
        twice = self._certain_strangers(sight)
        intents = [row.instance_id for row in rows if row.state is InstanceState.INTENDED]
        appeared = [instance_id for instance_id in intents if _is_there(machines.get(instance_id))]
        return Repairs(
            launch=tuple(name for name in intents if name not in appeared and name not in forsaken),
            launched=tuple(machines[instance_id] for instance_id in appeared),
            reported=tuple(
                row.instance_id
                for row in rows
                if row.state is InstanceState.BOOTING and _heard(sight, row.instance_id) and not _notice(sight, row)
            ),
            noticed=tuple(
                (row.instance_id, notice)
                for row in rows
                if row.state in (InstanceState.BOOTING, InstanceState.RUNNING) and (notice := _notice(sight, row))
            ),
            gone=tuple(gone.items()),
            end=(
                *(
                    machines[row.instance_id]
                    for row in rows
                    if row.state is InstanceState.DRAINING and _is_there(machines.get(row.instance_id))
                ),
                *sight.doubles,
            ),
            strangers=tuple(machine for machine in twice if not _heard(sight, machine.instance_id)),
            adopt=tuple(machine for machine in twice if _heard(sight, machine.instance_id)),
        )

    def _losses(self, sight: Sight, forsaken: Collection[str]) -> Iterator[tuple[str, str]]:
        """Yield the rows whose machine has ended, or was missing for long enough while its worker is silent."""
        machines = sight.machines or {}
        may_be_lost = [row for row in sight.instances if _launched(row) or row.instance_id in forsaken]
        missing = {row.instance_id for row in may_be_lost if row.instance_id not in machines}
        before, self._missing = self._missing, {name: self._missing.get(name, sight.now) for name in missing}
        for row in sight.instances:
            machine = machines.get(row.instance_id)
            reason = _REASONS.get(row.state, "vanished")
            if machine is not None and (machine.presence is Presence.ENDED or _never_of_use(row, machine)):
                yield row.instance_id, machine.reason or reason
            elif row.instance_id in before and row.instance_id in missing and self._is_lost(sight, row, before):
                yield row.instance_id, reason

    def _is_lost(self, sight: Sight, row: Instance, missing_since: Mapping[str, Instant]) -> bool:
        asked_for = row.launched_at if row.launched_at is not None else row.intended_at
        worker = sight.workers.get(row.instance_id)
        heard_lately = worker is not None and sight.now - worker.last_seen_at < self._silent_s
        return not heard_lately and sight.now - max(missing_since[row.instance_id], asked_for) >= self._apart_s

    def _certain_strangers(self, sight: Sight) -> list[Machine]:
        """Return the machines that are there, have no row, and had none some time ago."""
        if sight.machines is None:
            return []
        rows = {row.instance_id for row in sight.instances}
        strange = {name: machine for name, machine in sight.machines.items() if name not in rows and _is_there(machine)}
        before, self._strange = self._strange, {name: self._strange.get(name, sight.now) for name in strange}
        return [
            machine for name, machine in strange.items() if name in before and sight.now - before[name] >= self._apart_s
        ]


def members(sight: Sight) -> list[Member]:
    """Return the fleet as the scaling rules see it: every instance that counts."""
    return [
        _member(row, sight.workers.get(row.instance_id))
        for row in sight.instances
        if row.state is not InstanceState.NOTICED
    ]


def returning(sight: Sight, late: str | None = None) -> int:
    """Return how many jobs the workers on machines under notice, and on ``late``, hold: they will be handed back."""
    going = [
        row.instance_id for row in sight.instances if row.state is InstanceState.NOTICED or row.instance_id == late
    ]
    return sum(sight.workers[instance_id].leases for instance_id in going if instance_id in sight.workers)


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


def _never_of_use(row: Instance, machine: Machine) -> bool:
    """Say whether the machine ends before its worker has reported: there is nothing to be handed back."""
    waits = row.state in (InstanceState.INTENDED, InstanceState.BOOTING)
    return waits and machine.presence is Presence.ENDING


def _launched(row: Instance) -> bool:
    return row.state is not InstanceState.INTENDED


def _is_there(machine: Machine | None) -> bool:
    return machine is not None and machine.presence is Presence.THERE


def _heard(sight: Sight, instance_id: str) -> bool:
    worker = sight.workers.get(instance_id)
    return worker is not None and worker.state is not WorkerState.LOST


def _notice(sight: Sight, row: Instance) -> str | None:
    """Say why the machine is about to go, if its worker or the provider says so."""
    worker, machine = sight.workers.get(row.instance_id), (sight.machines or {}).get(row.instance_id)
    if machine is not None and machine.presence is Presence.ENDING:
        return "the provider is ending it"
    return worker.facts.notice if worker is not None and worker.state is not WorkerState.LOST else None


def is_unsettled(sight: Sight, silent_s: float) -> bool:
    """Say whether a look at the provider will soon show more: machines are to appear or to go, or workers are silent.

    A worker on a machine that runs is silent when it was not heard of for ``silent_s``.
    """
    for row in sight.instances:
        worker = sight.workers.get(row.instance_id)
        if row.state in (InstanceState.INTENDED, InstanceState.NOTICED, InstanceState.DRAINING):
            return True
        if row.state is InstanceState.RUNNING and (worker is None or sight.now - worker.last_seen_at >= silent_s):
            return True
    return False


def by_instance(
    machines: Iterable[Machine] | None, rows: Iterable[Instance]
) -> tuple[dict[str, Machine] | None, list[Machine]]:
    """Return one machine an instance, and the doubles that are there beside them; ``None`` if nobody looked.

    Of several the one that the row names is meant; else one that is there, the first by the provider's name.
    """
    if machines is None:
        return None, []
    named = {row.instance_id: row.provider_id for row in rows}
    one: dict[str, Machine] = {}
    doubles: list[Machine] = []
    for machine in sorted(machines, key=lambda machine: machine.provider_id):
        present = one.setdefault(machine.instance_id, machine)
        if present is machine:
            continue
        is_meant = machine.provider_id == named.get(machine.instance_id)
        better = is_meant or (not _is_there(present) and present.provider_id != named.get(machine.instance_id))
        one[machine.instance_id], other = (machine, present) if better else (present, machine)
        if _is_there(other):
            doubles.append(other)
    return one, doubles
