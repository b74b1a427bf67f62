"""The HTTP contract, as pydantic models: what crosses between the roles and what the public sees. No logic.

Unknown fields are ignored, so that roles of neighbouring versions understand each other during a rollout. Binary chain
states travel as hex: the final one IS the public hash. Ids are UUIDv7 strings.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator

STATE_BYTES_MAX = 4096
"""Longest state of a chain, in bytes."""

STEPS_MAX = 10**15
"""Most steps a chain may have on the wire; a role may be configured to allow fewer."""


def _unhex(value: object) -> bytes:
    raw = bytes.fromhex(value) if isinstance(value, str) else value
    if not isinstance(raw, bytes) or not 1 <= len(raw) <= STATE_BYTES_MAX:
        raise ValueError(f"a state is 1 to {STATE_BYTES_MAX} bytes, written as hex")
    return raw


StateBytes = Annotated[
    bytes,
    PlainValidator(_unhex, json_schema_input_type=str),
    PlainSerializer(bytes.hex, return_type=str),
]
Id = Annotated[str, Field(min_length=1, max_length=64)]
JobId = Annotated[
    str,
    Field(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$", description="UUIDv7"),
]
Epoch = Annotated[int, Field(ge=1, le=2**62)]
Steps = Annotated[int, Field(ge=0, le=STEPS_MAX)]
Priority = Annotated[int, Field(ge=0, le=9)]
Rate = Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False)]
WaitSeconds = Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)]
JobStateName = Literal["queued", "leased", "succeeded", "dead", "cancelled"]


class Wire(BaseModel):
    """Base of all messages."""

    model_config = ConfigDict(frozen=True, extra="ignore")


# --- public ----------------------------------------------------------------------------------------------------------
class JobFault(Wire):
    """Why a job failed."""

    code: str
    detail: str


class JobView(Wire):
    """A job, as its owner sees it. Times are ISO 8601 UTC."""

    job_id: str
    state: JobStateName
    kind: str
    iterations: int
    done: int
    percent: float
    priority: int
    attempts: int
    worker_id: str | None
    created_at: str
    started_at: str | None
    completed_at: str | None
    eta_s: float | None
    hash: str | None
    error: JobFault | None
    requeued_from: str | None


class Accepted(Wire):
    """The answer to ``PUT /enqueue``: the job is durable."""

    job_id: str


class CompletedView(Wire):
    """One entry of ``POST /pullCompleted``."""

    job_id: str
    hash: str
    iterations: int
    completed_at: str


class ResultView(Wire):
    """One entry of the results feed: a job that ended, in whatever way."""

    job_id: str
    state: JobStateName
    hash: str | None
    iterations: int
    completed_at: str
    error: JobFault | None


class ResultsPage(Wire):
    """One page of the results feed. ``next`` is the cursor to go on from."""

    results: list[ResultView]
    next: str


class Stats(Wire):
    """The queue in numbers. ``backlog_s`` is the work ahead for the whole present fleet, seconds."""

    queued: int
    leased: int
    succeeded: int
    dead: int
    cancelled: int
    backlog_steps: float
    backlog_s: float | None
    submitted_per_s: float
    completed_per_s: float
    oldest_wait_s: float


class WorkerView(Wire):
    """One worker. Rates are steps per second."""

    worker_id: str
    instance_id: str | None
    pid: int | None
    host: str | None
    state: Literal["ready", "draining", "lost"]
    capacity: float
    chain_speed: float
    leases: int
    lanes: int
    path: str | None
    started_at: str | None
    last_seen_at: str


class InstanceView(Wire):
    """One machine, or the local process that stands for one."""

    instance_id: str
    provider_id: str | None
    state: str
    intended_at: str
    launched_at: str | None
    reason: str | None


class Fleet(Wire):
    """The fleet. ``decision`` is the scaler's latest, in words and with its numbers."""

    min: int
    max: int
    workers: list[WorkerView]
    instances: list[InstanceView]
    leader: str | None
    decision: str | None


class Problem(Wire):
    """``application/problem+json`` (RFC 9457), with a stable ``code``."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    errors: list[dict[str, str]] | None = None


# --- internal: API to orchestrator -----------------------------------------------------------------------------------
class Reply(Wire):
    """Every reply of an orchestrator names the living ones."""

    orchestrators: list[str] = []


class NewJob(Wire):
    """A job as the API hands it over: the body is hashed already, ``(state, done, total)`` is the chain's start."""

    job_id: JobId
    owner: Id
    key: Annotated[str, Field(min_length=1, max_length=256)] | None = None
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
    """``GET /internal/jobs/{id}?owner=`` and ``POST /internal/jobs/{id}/cancel?owner=``."""

    job: JobView


class CompletedReply(Reply):
    """``GET /internal/completed?owner=&top=``."""

    results: list[CompletedView]


class ResultsReply(Reply):
    """``GET /internal/results?owner=&after=&limit=``; positions are plain numbers here, the API makes the cursor."""

    results: list[ResultView]
    next: int


class StatsReply(Reply):
    """``GET /internal/stats``."""

    stats: Stats


class FleetReply(Reply):
    """``GET /internal/fleet``."""

    fleet: Fleet


# --- internal: worker to orchestrator --------------------------------------------------------------------------------
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
    detail: Annotated[str, Field(max_length=2000)] = ""


HELD_MAX = 20_000
Holding = Annotated[list[HeldRef], Field(max_length=HELD_MAX)]


class WorkerMessage(Wire):
    """What every message of a worker begins with."""

    worker_id: Id
    incarnation: Id


class LeaseAsk(WorkerMessage):
    """``POST /internal/lease``: long-poll for work. ``wait_s``: how long to park it when there is none."""

    capacity: Rate
    chain_speed: Rate
    lanes: Annotated[int, Field(ge=1, le=65536)]
    holding: Holding = []
    unreported: Holding = []
    wait_s: WaitSeconds = 0
    kinds: Annotated[list[Id], Field(max_length=100)] = []
    instance_id: Id | None = None
    host: Annotated[str, Field(max_length=255)] | None = None
    pid: Annotated[int, Field(ge=0, le=2**62)] | None = None
    path: Annotated[str, Field(max_length=64)] | None = None
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
    """``POST /internal/heartbeat``: I live, this is all I hold, these chains advanced."""

    capacity: Rate
    chain_speed: Rate
    holding: Holding = []
    checkpoints: Annotated[list[Checkpoint], Field(max_length=HELD_MAX)] = []


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

    completed: Annotated[list[Checkpoint], Field(max_length=HELD_MAX)] = []
    failed: Annotated[list[Failure], Field(max_length=HELD_MAX)] = []
    released: Annotated[list[Checkpoint], Field(max_length=HELD_MAX)] = []


class Judged(HeldRef):
    """What became of one report."""

    verdict: Literal["accepted", "stale", "over"]


class ReportReply(Reply):
    """One entry a report: completed first, then failed, then released, each in the order sent."""

    results: list[Judged]
