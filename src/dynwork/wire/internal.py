"""The internal HTTP API: what the API and the workers ask of an orchestrator, and what it replies."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dynwork.wire.base import (
    NO_NUL,
    STEPS_MAX,
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
from dynwork.wire.public import CompletedView, JobView, ResultView
from dynwork.wire.system import Fleet, Stats


# --- API to orchestrator ----------------------------------------------------------------------------------------------
class Reply(Wire):
    """Every reply of an orchestrator names the living ones."""

    orchestrators: list[str] = Field(default_factory=list)


class NewJob(Wire):
    """A job as the API hands it over: the body is hashed already, ``(state, done, total)`` is the chain's start."""

    job_id: JobId
    owner: Id
    key: Annotated[str, Field(min_length=1, max_length=256, pattern=NO_NUL)] | None = None
    kind: Id
    state: StateBytes
    done: Steps
    total: Annotated[int, Field(ge=1, le=STEPS_MAX)]
    priority: Priority = 5


class Submit(Wire):
    """``POST /internal/submit``."""

    jobs: Annotated[list[NewJob], Field(min_length=1, max_length=1000)]


class ItemError(Wire):
    """One item of a batch was refused."""

    code: str
    detail: str


class Submitted(Wire):
    """The answer for one submitted job: exactly one of the two is set."""

    job_id: str | None = None
    error: ItemError | None = None


class SubmitReply(Reply):
    """In the order of the request."""

    results: list[Submitted]


class JobReply(Reply):
    """``GET /internal/jobs/{id}?owner=`` and ``POST /internal/jobs/{id}/cancel?owner=``; no owner: whose ever it is."""

    job: JobView


class JobsReply(Reply):
    """``GET /internal/jobs?owner=&state=&before=&limit=``, newest first; ``next`` is the ``before`` to go on with."""

    jobs: list[JobView]
    next: str | None


class RequeueReply(Reply):
    """``POST /internal/jobs/{id}/requeue?owner=&new_id=``: the job that takes the place of a dead one."""

    job_id: str


class CompletedReply(Reply):
    """``GET /internal/completed?owner=&top=``."""

    results: list[CompletedView]


class ResultsReply(Reply):
    """``GET /internal/results?owner=&after=&limit=``; positions are plain numbers here, the API makes the cursor."""

    results: list[ResultView]
    next: int


class EndedRef(Wire):
    """A job that ended, and who may see it."""

    job_id: str
    owner: str


class TailReply(Reply):
    """``GET /internal/tail?after=&wait_s=``: what ended after a position, in commit order, whose ever it is.

    Without ``after``: the present position at once. ``next`` is the position to go on from.
    """

    next: int
    ended: list[EndedRef]


class StatsReply(Reply):
    """``GET /internal/stats``."""

    stats: Stats


class FleetReply(Reply):
    """``GET /internal/fleet``."""

    fleet: Fleet


# --- worker to orchestrator -------------------------------------------------------------------------------------------
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
