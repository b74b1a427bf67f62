"""What the orchestrator knows of a worker.

A worker's lease on all its jobs is ONE deadline, ``lease_until``: a heartbeat renews one row, however many chains it
holds.

A worker runs several kinds of work, and a step of one may take a thousand times as long as a step of another: how fast
it is, is known for each kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from dynwork.orchestrator.core.job import Instant


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a worker is at one kind of work. Rates are steps per second, 0 until it has measured them.

    ``capacity``: all lanes full; ``chain_speed``: one chain alone; ``lanes``: chains that advance at the same time.
    """

    capacity: float
    chain_speed: float
    lanes: int = 1


Paces = Mapping[str, Pace]
"""By the name of the kind."""

UNMEASURED = Pace(0.0, 0.0)
"""The pace at a kind that the worker says nothing of."""


def updated(known: Paces, said: Paces) -> Paces:
    """Return the paces after a heartbeat that ``said`` new rates: lanes, and what it leaves out, stay as known."""
    rates = {kind: replace(pace, lanes=known.get(kind, pace).lanes) for kind, pace in said.items()}
    return {**known, **rates}


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """What a worker says of itself when it asks for work. ``kinds`` empty: it takes any kind.

    ``notice``: why its machine is about to go, once it has been told so; from then on it takes nothing. An incarnation
    that was under notice is so for good: an ask that it sent before may be heard after (:meth:`after`).
    """

    worker_id: str
    incarnation: str
    paces: Paces = field(default_factory=dict)
    kinds: tuple[str, ...] = ()
    instance_id: str | None = None
    host: str | None = None
    pid: int | None = None
    path: str | None = None
    started_at: Instant | None = None
    notice: str | None = None

    def pace(self, kind: str) -> Pace:
        """How fast it is at ``kind``."""
        return self.paces.get(kind, UNMEASURED)

    def after(self, known: WorkerFacts | None) -> WorkerFacts:
        """Return these, said by a worker of which ``known`` was known before."""
        if known is None or known.incarnation != self.incarnation or self.notice is not None:
            return self
        return replace(self, notice=known.notice)

    @property
    def lanes_min(self) -> int:
        """The lanes of the kind that has the fewest: with as many chains it may be full."""
        return min((pace.lanes for pace in self.paces.values()), default=1)

    @property
    def lanes_max(self) -> int:
        """The lanes of the kind that has the most."""
        return max((pace.lanes for pace in self.paces.values()), default=1)


class WorkerState(StrEnum):
    """``ready`` takes work; ``draining`` is about to be ended and gets none; ``lost`` has not been heard of in time."""

    READY = "ready"
    DRAINING = "draining"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker, one row. ``busy_at`` is when it was last seen holding or ending a lease: idle time counts from it."""

    facts: WorkerFacts
    state: WorkerState
    lease_until: Instant
    last_seen_at: Instant
    busy_at: Instant
    leases: int = 0


def heard(facts: WorkerFacts, state: WorkerState, known: Worker | None, now: Instant, lease_s: float) -> Worker:
    """Return the worker after it was heard of at ``now``; its leases hold for ``lease_s`` seconds from there.

    No time of it moves back: an orchestrator that stood still may write late what it heard long ago.
    """
    heard_of = Worker(facts, state, lease_until=now + lease_s, last_seen_at=now, busy_at=now)
    if known is None:
        return heard_of
    return replace(
        heard_of,
        lease_until=max(known.lease_until, heard_of.lease_until),
        last_seen_at=max(known.last_seen_at, now),
        busy_at=known.busy_at,
    )
