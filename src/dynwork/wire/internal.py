"""The internal HTTP API, first half: what API instances ask of an orchestrator, and what it replies."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dynwork.wire.base import (
    NO_NUL,
    STEPS_MAX,
    Id,
    JobId,
    Priority,
    StateBytes,
    Steps,
    Wire,
)
from dynwork.wire.public import CompletedView, JobView, ResultView
from dynwork.wire.system import Fleet, Stats


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
