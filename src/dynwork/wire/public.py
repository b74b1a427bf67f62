"""The public HTTP API: what the owner of a job sends and sees. A change here is a change of the product."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from dynwork.wire.base import STEPS_MAX, Prose, Wire

BULK_JOBS_MAX = 1000
"""Jobs in one ``POST /jobs``."""

JobStateName = Literal["queued", "leased", "succeeded", "dead", "cancelled"]


class JobFault(Wire):
    """Why a job failed."""

    code: str
    detail: str


class JobView(Wire):
    """A job, as its owner sees it. Times are ISO 8601 UTC."""

    job_id: str
    owner: str
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


class JobsPage(Wire):
    """One page of ``GET /jobs``, newest first. It may be short while ``next`` is set; ``next`` is null at the end."""

    jobs: list[JobView]
    next: str | None


class BulkJob(Wire):
    """One item of ``POST /jobs``: the buffer itself, or, for ``sha512-chain``, nothing but its digest."""

    model_config = ConfigDict(extra="forbid", strict=True)

    data: Annotated[str | None, Field(description="The buffer, in base64 (RFC 4648, section 4).")] = None
    sha512: Annotated[
        str | None,
        Field(pattern=r"^[0-9a-fA-F]{128}$", description="In place of `data`: the SHA-512 of the buffer, in hex."),
    ] = None
    iterations: Annotated[int, Field(ge=1, le=STEPS_MAX, description="How often to hash, in all.")]
    priority: Annotated[int, Field(ge=0, le=9, description="9 goes first.")] = 5
    kind: Annotated[str, Field(min_length=1, max_length=64, description="The kind of work.")] = "sha512-chain"
    key: Annotated[
        str | None,
        Field(min_length=1, max_length=256, pattern=r"^[\x20-\x7e]+$", description="The job's idempotency key."),
    ] = None


class BulkJobs(Wire):
    """``POST /jobs``. The items are read one by one, so that one that is wrong is refused alone."""

    jobs: Annotated[list[object], Field(min_length=1, max_length=BULK_JOBS_MAX)]


class BulkFault(Wire):
    """Why one item of a bulk submission was refused."""

    code: str
    detail: Prose


class BulkResult(Wire):
    """What became of one item: exactly one of ``job_id`` and ``error`` is set.

    ``repeated`` is set, and true, if the key was known already: the job may have ended before this call.
    """

    job_id: str | None = None
    repeated: bool | None = None
    error: BulkFault | None = None


class BulkReply(Wire):
    """In the order of the request; what is not set is left out."""

    results: list[BulkResult]


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
    """The queue in numbers. ``backlog_s`` is the work ahead for the whole present fleet, seconds.

    It is null while that cannot be told: no worker, or work of a kind that none has measured yet.
    """

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
