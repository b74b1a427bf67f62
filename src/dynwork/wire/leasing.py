"""The internal HTTP API, second half: what workers ask of an orchestrator and tell it, and what it replies."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dynwork.wire.base import (
    Epoch,
    Id,
    JobId,
    Priority,
    Prose,
    Rate,
    StateBytes,
    Steps,
    WaitSeconds,
    Wire,
)
from dynwork.wire.internal import Reply


class HeldRef(Wire):
    """A lease, as its worker names it."""

    job_id: JobId
    epoch: Epoch


class Checkpoint(HeldRef):
    """How far a chain is, or where it was handed back."""

    state: StateBytes
    done: Steps


class Failure(HeldRef):
    """The work itself failed."""

    code: Id
    detail: Annotated[Prose, Field(max_length=2000)] = ""


HELD_MAX = 20_000
KINDS_MAX = 100
Holding = Annotated[list[HeldRef], Field(max_length=HELD_MAX)]
Notice = Annotated[Prose, Field(min_length=1, max_length=64)]
"""Why the worker's machine is about to go."""
Lanes = Annotated[int, Field(ge=1, le=65536)]


class WorkerMessage(Wire):
    """What every message of a worker begins with."""

    worker_id: Id
    incarnation: Id


class KindPace(Wire):
    """How fast a worker is at one kind, steps per second. One that it has and never measured has the rates 0."""

    capacity: Rate
    chain_speed: Rate
    lanes: Lanes


Paces = Annotated[dict[Id, KindPace], Field(max_length=KINDS_MAX)]


class LeaseAsk(WorkerMessage):
    """``POST /internal/lease``: long-poll for work. ``wait_s``: how long to park it when there is none.

    ``capacity``, ``chain_speed`` and ``lanes`` are those of the default kind; ``paces`` has every kind by its name.
    """

    capacity: Rate
    chain_speed: Rate
    lanes: Lanes
    paces: Paces = Field(default_factory=dict)
    holding: Holding = Field(default_factory=list)
    unreported: Holding = Field(default_factory=list)
    wait_s: WaitSeconds = 0
    kinds: Annotated[list[Id], Field(max_length=KINDS_MAX)] = Field(default_factory=list)
    instance_id: Id | None = None
    host: Annotated[Prose, Field(max_length=255)] | None = None
    pid: Annotated[int, Field(ge=0, le=2**62)] | None = None
    path: Annotated[Prose, Field(max_length=64)] | None = None
    started_at: Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)] | None = None
    notice: Notice | None = None


class LeasedJob(HeldRef):
    """A lease granted: the chain to advance."""

    kind: str
    state: StateBytes
    done: Steps
    total: Steps
    priority: Priority


class LeaseReply(Reply):
    """``drain``: hand everything back and ask no more."""

    grants: list[LeasedJob]
    drain: bool = False
    heartbeat_s: float
    lease_s: float


class HeartbeatAsk(WorkerMessage):
    """``POST /internal/heartbeat``: I live, this is all I hold, these chains advanced.

    ``capacity`` and ``chain_speed`` are those of the default kind; ``paces`` has every kind by its name.
    """

    capacity: Rate
    chain_speed: Rate
    paces: Paces = Field(default_factory=dict)
    holding: Holding = Field(default_factory=list)
    checkpoints: Annotated[list[Checkpoint], Field(max_length=HELD_MAX)] = Field(default_factory=list)
    notice: Notice | None = None


class HeartbeatReply(Reply):
    """``cancelled`` and ``stale``: stop working on these; ``grants``: leases whose reply was lost, again."""

    cancelled: list[HeldRef]
    stale: list[HeldRef]
    grants: list[LeasedJob]
    drain: bool
    heartbeat_s: float
    lease_s: float


class ReportAsk(WorkerMessage):
    """``POST /internal/report``: leases that this worker ends."""

    completed: Annotated[list[Checkpoint], Field(max_length=HELD_MAX)] = Field(default_factory=list)
    failed: Annotated[list[Failure], Field(max_length=HELD_MAX)] = Field(default_factory=list)
    released: Annotated[list[Checkpoint], Field(max_length=HELD_MAX)] = Field(default_factory=list)


class Judged(HeldRef):
    """What became of one report."""

    verdict: Literal["accepted", "stale", "over"]


class ReportReply(Reply):
    """One entry a report: completed first, then failed, then released, each in the order sent."""

    results: list[Judged]
