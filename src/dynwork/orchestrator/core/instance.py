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
    """``intended``, ``booting``, ``running``, ``draining``, ``ended``; all but the last count against the maximum."""

    INTENDED = "intended"
    BOOTING = "booting"
    RUNNING = "running"
    DRAINING = "draining"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Instance:
    """One machine. ``instance_id`` is ours and doubles as the launch token; ``provider_id`` is the provider's name."""

    instance_id: str
    state: InstanceState
    intended_at: Instant
    provider_id: str | None = None
    launched_at: Instant | None = None
    ended_at: Instant | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Launched:
    """The provider took the launch call."""

    provider_id: str


@dataclass(frozen=True, slots=True)
class Reported:
    """Its worker was heard of for the first time."""


@dataclass(frozen=True, slots=True)
class Drained:
    """It was chosen to go, and holds no lease."""

    reason: str


@dataclass(frozen=True, slots=True)
class Gone:
    """The provider refused it, ended it, or it vanished."""

    reason: str


Event = Launched | Reported | Drained | Gone

_S = InstanceState
TRANSITIONS: dict[tuple[InstanceState, type[Event]], InstanceState] = {
    (_S.INTENDED, Launched): _S.BOOTING,
    (_S.INTENDED, Gone): _S.ENDED,
    (_S.BOOTING, Reported): _S.RUNNING,
    (_S.BOOTING, Drained): _S.DRAINING,
    (_S.BOOTING, Gone): _S.ENDED,
    (_S.RUNNING, Drained): _S.DRAINING,
    (_S.RUNNING, Gone): _S.ENDED,
    (_S.DRAINING, Gone): _S.ENDED,
}


def step(instance: Instance, event: Event, now: Instant) -> Instance:
    """Return the instance after ``event``; an event that the table does not know for its state changes nothing.

    Providers and workers repeat themselves and overtake each other (a launch reply after the first heartbeat, a second
    "gone"), so an unexpected pair is no defect here; it is the fence.
    """
    state = TRANSITIONS.get((instance.state, type(event)))
    if state is None:
        return instance
    match event:
        case Launched(provider_id):
            return replace(instance, state=state, provider_id=provider_id, launched_at=now)
        case Reported():
            return replace(instance, state=state)
        case Drained(reason):
            return replace(instance, state=state, reason=reason)
        case Gone(reason):
            return replace(instance, state=state, reason=instance.reason or reason, ended_at=now)
        case _:
            assert_never(event)
