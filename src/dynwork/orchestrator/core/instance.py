"""The life of a machine (or of a local process that stands for one): intent first, then the launch, then the rest.

The same form as the job's: :data:`TRANSITIONS` is the specification, :func:`step` the only place of change. A row is
written before the provider is called, so that no machine can exist which nobody knows of.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from dynwork.orchestrator.core.job import Instant


class InstanceState(StrEnum):
    """Where a machine stands; ``intended``, ``booting``, ``running`` and ``draining`` count against the maximum.

    ``noticed``: it is given up, but its worker may still hold leases: the provider is about to take it back, or it was
    found alive with no place for it. It gets no work and is ended once it is idle; its successor is launched meanwhile.
    """

    INTENDED = "intended"
    BOOTING = "booting"
    RUNNING = "running"
    NOTICED = "noticed"
    DRAINING = "draining"
    ENDED = "ended"


COUNTED = frozenset({InstanceState.INTENDED, InstanceState.BOOTING, InstanceState.RUNNING, InstanceState.DRAINING})
"""The states that count against the maximum."""
LEAVING = frozenset({InstanceState.NOTICED, InstanceState.DRAINING, InstanceState.ENDED})
"""The states in which a machine's worker is given nothing more."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One machine. ``instance_id`` is ours and doubles as the launch token; ``provider_id`` is the provider's name.

    ``placement``: where it is asked for, in the provider's words, stored with the intent: a repeated launch call must
    say the same again.
    """

    instance_id: str
    state: InstanceState
    intended_at: Instant
    provider_id: str | None = None
    launched_at: Instant | None = None
    ended_at: Instant | None = None
    reason: str | None = None
    placement: str = ""


@dataclass(frozen=True, slots=True)
class Launched:
    """The provider took the launch call."""

    provider_id: str


@dataclass(frozen=True, slots=True)
class Reported:
    """Its worker was heard of for the first time."""


@dataclass(frozen=True, slots=True)
class Noticed:
    """It is given up, busy or not: the provider takes it back soon, or there is no place for it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Drained:
    """It was chosen to go, and holds no lease."""

    reason: str


@dataclass(frozen=True, slots=True)
class Gone:
    """The provider refused it, ended it, or it vanished."""

    reason: str


Event = Launched | Reported | Noticed | Drained | Gone

_S = InstanceState
TRANSITIONS: dict[tuple[InstanceState, type[Event]], InstanceState] = {
    (_S.INTENDED, Launched): _S.BOOTING,
    (_S.INTENDED, Gone): _S.ENDED,
    (_S.BOOTING, Reported): _S.RUNNING,
    (_S.BOOTING, Noticed): _S.NOTICED,
    (_S.BOOTING, Drained): _S.DRAINING,
    (_S.BOOTING, Gone): _S.ENDED,
    (_S.RUNNING, Noticed): _S.NOTICED,
    (_S.RUNNING, Drained): _S.DRAINING,
    (_S.RUNNING, Gone): _S.ENDED,
    (_S.NOTICED, Drained): _S.NOTICED,
    (_S.NOTICED, Gone): _S.ENDED,
    (_S.DRAINING, Gone): _S.ENDED,
    (_S.ENDED, Noticed): _S.NOTICED,
}


def intent(instance_id: str, now: Instant, placement: str = "") -> Instance:
    """Return the instance as it is stored before anybody is asked for it."""
    return Instance(instance_id, InstanceState.INTENDED, now, placement=placement)


def adopted(found: Instance, known: Instance | None, now: Instant, *, has_place: bool) -> Instance:
    """Return what becomes of a machine that nobody counted on and whose worker reports.

    ``found``: running, as it would be if there were a place for it; ``known``: its row, if it has one. Without a place,
    or after it was given up, it is let finish what it holds.
    """
    if known is not None:
        if known.state is not InstanceState.ENDED:
            return known
        again = step(known, Noticed("found alive after it was given up"), now)
        return replace(again, provider_id=found.provider_id, launched_at=known.launched_at or found.launched_at)
    return found if has_place else step(found, Noticed("found working, with no place for it"), now)


def step(instance: Instance, event: Event, now: Instant) -> Instance:
    """Return the instance after ``event``; an event that the table does not know for its state changes nothing.

    Providers and workers repeat themselves and overtake each other (a launch reply after the first heartbeat, a second
    "gone"), so an unexpected pair is no defect here; it is the fence. ``ended`` is not final: a machine that was given
    up and is found alive, working, is let finish what it holds.
    """
    state = TRANSITIONS.get((instance.state, type(event)))
    if state is None:
        return instance
    match event:
        case Launched(provider_id):
            return replace(instance, state=state, provider_id=provider_id, launched_at=now)
        case Reported():
            return replace(instance, state=state)
        case Noticed(reason):
            return replace(instance, state=state, reason=reason, ended_at=None)
        case Drained(reason):
            return replace(instance, state=state, reason=instance.reason or reason)
        case Gone(reason):
            return replace(instance, state=state, reason=instance.reason or reason, ended_at=now)
        case _:
            assert_never(event)
