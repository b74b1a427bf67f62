"""The public HTTP API: what the owner of a job sends and sees. A change here is a change of the product.

Times are ISO 8601 in UTC, to the millisecond.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from dynwork.wire.base import Prose, Shown

BULK_JOBS_MAX = 1000
"""Jobs in one ``POST /jobs``."""

JobStateName = Literal["queued", "leased", "succeeded", "dead", "cancelled"]


class JobFault(Shown):
    """Why a job failed."""

    code: str
    """Stable, for programs: `worker_lost`, or what the kind of work calls its error."""
    detail: str
    """For people."""


class JobView(Shown):
    """A job, as its owner sees it."""

    job_id: str
    """UUIDv7: sorted as text, jobs are in the order in which they were submitted."""
    owner: str
    """Whose key submitted it."""
    state: JobStateName
    """`succeeded`, `dead` and `cancelled` are ends: they never change."""
    kind: str
    """The kind of work."""
    iterations: int
    """How often to hash, in all."""
    done: int
    """How many of them are done, as of the worker's latest report; it never goes back."""
    percent: float
    """`done` of `iterations`."""
    priority: int
    """0 to 9; 9 goes first."""
    attempts: int
    """Errors of the work so far. Machines that are lost do not count."""
    worker_id: str | None
    """Who has it, or who ended it."""
    created_at: str
    """When it was submitted."""
    started_at: str | None
    """When it was first given to a worker."""
    completed_at: str | None
    """When it ended, in whatever way."""
    eta_s: float | None
    """When it is likely to end, seconds from now; null when that cannot be told."""
    hash: str | None
    """The result, in hex; once it has succeeded."""
    error: JobFault | None
    """Why it died, or why its latest attempt failed."""
    requeued_from: str | None
    """The dead job whose work this one repeats."""


class Accepted(Shown):
    """A job that is durable."""

    job_id: str
    """UUIDv7. Safe on disk from now on."""


class JobsPage(Shown):
    """One page of jobs."""

    jobs: list[JobView]
    """Newest first; it may be short, even empty, while there is more."""
    next: str | None
    """The `cursor` of the page that follows; null at the end."""


class BulkJob(Shown):
    """One item of ``POST /jobs``: the buffer itself, or, for ``sha512-chain``, nothing but its digest."""

    model_config = ConfigDict(extra="forbid", strict=True)

    data: Annotated[str | None, Field(description="The buffer, in base64 (RFC 4648, section 4).")] = None
    sha512: Annotated[
        str | None,
        Field(pattern=r"^[0-9a-fA-F]{128}$", description="In place of `data`: the SHA-512 of the buffer, in hex."),
    ] = None
    iterations: Annotated[int, Field(ge=1, description="How often to hash, in all.")]
    priority: Annotated[int, Field(ge=0, le=9, description="9 goes first.")] = 5
    kind: Annotated[str, Field(min_length=1, max_length=64, description="The kind of work.")] = "sha512-chain"
    key: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=256,
            pattern=r"^[\x20-\x7e]+$",
            description="The job's idempotency key: names it among its owner's, for as long as it is kept.",
        ),
    ] = None


class BulkJobs(Shown):
    """``POST /jobs``. The items are read one by one, so that one that is wrong is refused alone."""

    jobs: Annotated[list[object], Field(min_length=1, max_length=BULK_JOBS_MAX)]


class BulkFault(Shown):
    """Why one item of a bulk submission was refused."""

    code: str
    """Stable, for programs: one of those in the table of errors."""
    detail: Prose
    """For people: what is wrong with the item."""


class BulkResult(Shown):
    """What became of one item: exactly one of ``job_id`` and ``error`` is there."""

    job_id: str | None = None
    """UUIDv7. Safe on disk from now on."""
    repeated: bool | None = None
    """There, and true, if the key was known already: the job may have ended before this call."""
    error: BulkFault | None = None
    """Why there is no job."""


class BulkReply(Shown):
    """What became of each item."""

    results: list[BulkResult]
    """In the order of the request."""


class CompletedView(Shown):
    """A job that succeeded."""

    job_id: str
    """UUIDv7."""
    hash: str
    """The result, in hex."""
    iterations: int
    """How often was hashed, in all."""
    completed_at: str
    """When it succeeded."""


class ResultView(Shown):
    """A job that ended, in whatever way."""

    job_id: str
    """UUIDv7."""
    state: JobStateName
    """How it ended."""
    hash: str | None
    """The result, in hex; null unless it succeeded."""
    iterations: int
    """How often to hash, in all."""
    completed_at: str
    """When it ended."""
    error: JobFault | None
    """Why it died."""


class ResultsPage(Shown):
    """One page of the results feed."""

    results: list[ResultView]
    """In the order in which they ended."""
    next: str
    """The `after` of the page that follows; keep it, it is where to look again later."""
