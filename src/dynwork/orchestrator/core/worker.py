"""What the orchestrator knows of a worker.

A worker's lease on all its jobs is ONE deadline, ``lease_until``: a heartbeat renews one row, however many chains it
holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dynwork.orchestrator.core.job import Instant


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a worker is. Rates are steps per second.

    ``capacity``: all lanes full; ``chain_speed``: one chain alone; ``lanes``: chains that advance at the same time.
    """

    capacity: float
    chain_speed: float
    lanes: int = 1


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """What a worker says of itself when it asks for work. ``kinds`` empty: it takes any kind."""

    worker_id: str
    incarnation: str
    pace: Pace
    kinds: tuple[str, ...] = ()
    instance_id: str | None = None
    host: str | None = None
    pid: int | None = None
    path: str | None = None
    started_at: Instant | None = None


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
