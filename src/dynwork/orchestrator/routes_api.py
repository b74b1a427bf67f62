"""What API instances call, in the name of an owner that they have made sure of. Reached with the API's token only."""

from __future__ import annotations

from typing import Annotated, Protocol

from fastapi import APIRouter, Path, Query, Request, Response

from dynwork import logs, wire
from dynwork.errors import DynworkError, NotFoundError
from dynwork.orchestrator import bodies, messages, views
from dynwork.orchestrator.core.job import JobState, Submission
from dynwork.orchestrator.rounds import Rounds
from dynwork.orchestrator.sampler import Sampler
from dynwork.orchestrator.store.commands import Cancel, Requeue
from dynwork.orchestrator.store.port import Store
from dynwork.orchestrator.tail import Tails

log = logs.get("dynwork.orchestrator.api")

Owner = Annotated[wire.Id | None, Query()]
"""Whose jobs; absent: everybody's."""
JobId = Annotated[wire.JobId, Path()]
NewId = Annotated[wire.JobId, Query()]
Position = Annotated[int | None, Query(ge=0, le=wire.POSITION_MAX)]
Top = Annotated[int, Query(ge=1, le=10_000)]
Limit = Annotated[int, Query(ge=1, le=1000)]
State = Annotated[wire.JobStateName | None, Query()]
Before = Annotated[wire.JobId | None, Query()]
WaitS = Annotated[wire.WaitSeconds, Query()]


class FleetFacts(Protocol):
    """What is known of the fleet beside the store's rows."""

    @property
    def bounds(self) -> tuple[int, int]:
        """Fewest and most workers."""
        ...

    @property
    def leader_name(self) -> str | None:
        """Who leads, if it is known here."""
        ...

    @property
    def decision(self) -> str | None:
        """The scaler's latest, in words."""
        ...


class Desk:
    """Answers for the jobs of one owner, or of everybody (``owner`` is ``None``), and for the whole."""

    def __init__(self, rounds: Rounds, store: Store, sampler: Sampler, fleet: FleetFacts, iterations_max: int) -> None:
        """``iterations_max``: most steps a job may have."""
        self._rounds = rounds
        self._store = store
        self._sampler = sampler
        self._fleet = fleet
        self._iterations_max = iterations_max

    async def submit(self, message: wire.Submit) -> wire.SubmitReply:
        """Enter jobs; each is answered for itself. Raises ``UnavailableError`` if none may have become durable."""
        read = [messages.submission_of(new, self._iterations_max) for new in message.jobs]
        good = [item for item in read if isinstance(item, Submission)]
        answers = iter(await self._rounds.submit(good))
        about = log.bind()
        for submission in good:
            about.debug("submitted", job_id=submission.job_id)
        return wire.SubmitReply(
            results=[messages.submitted(item if isinstance(item, DynworkError) else next(answers)) for item in read]
        )

    async def job(self, owner: str | None, job_id: str) -> wire.JobReply:
        """Show a job. Raises ``NotFoundError``."""
        job = await self._store.job(owner, job_id)
        if job is None:
            raise NotFoundError(f"there is no job {job_id}")
        return wire.JobReply(job=views.job(job, self._sampler.latest.outlook))

    async def jobs(self, owner: str | None, state: str | None, before: str | None, limit: int) -> wire.JobsReply:
        """List jobs, newest first."""
        page = await self._store.jobs(owner, JobState(state) if state else None, before, limit)
        outlook = self._sampler.latest.outlook
        return wire.JobsReply(jobs=[views.job(job, outlook) for job in page.jobs], next=page.next)

    async def cancel(self, owner: str | None, job_id: str) -> wire.JobReply:
        """Cancel a job. Raises ``NotFoundError``, ``JobFinishedError``."""
        job = await self._rounds.cancel(Cancel(owner, job_id))
        return wire.JobReply(job=views.job(job, self._sampler.latest.outlook))

    async def requeue(self, owner: str | None, job_id: str, new_id: str) -> wire.RequeueReply:
        """Give a dead job its successor. Raises ``NotFoundError``, ``JobNotDeadError``, ``QueueFullError``."""
        job = await self._rounds.requeue(Requeue(owner, job_id, new_id))
        log.debug("requeued", job_id=job.job_id, requeued_from=job_id)
        return wire.RequeueReply(job_id=job.job_id)

    async def completed(self, owner: str | None, top: int) -> wire.CompletedReply:
        """Show the newest succeeded jobs."""
        return wire.CompletedReply(results=views.completed(await self._store.newest_succeeded(owner, top)))

    async def results(self, owner: str | None, after: int | None, limit: int) -> wire.ResultsReply:
        """Show a page of the feed. Raises ``CursorExpiredError``."""
        page = await self._store.feed(owner, after, limit)
        return wire.ResultsReply(results=views.results(page.jobs), next=page.next)

    def stats(self) -> wire.StatsReply:
        """Show the queue as it was at the last look."""
        seen = self._sampler.latest
        return wire.StatsReply(stats=views.stats(seen.totals, seen.outlook, seen.rates, seen.oldest_wait_s))

    def fleet(self) -> wire.FleetReply:
        """Show the fleet as it was at the last look."""
        seen = self._sampler.latest
        fewest, most = self._fleet.bounds
        return wire.FleetReply(
            fleet=wire.Fleet(
                min=fewest,
                max=most,
                workers=[views.worker(worker) for worker in seen.workers],
                instances=[views.instance(instance) for instance in seen.instances],
                leader=self._fleet.leader_name,
                decision=self._fleet.decision,
            )
        )


def routes(desk: Desk, tails: Tails, replies: bodies.Replies) -> APIRouter:
    """Return the routes, without a guard."""
    router = APIRouter(prefix="/internal")
    _single_jobs(router, desk, replies)

    @router.post("/submit")
    async def submit(request: Request) -> Response:
        return replies.of(await desk.submit(await bodies.read(request, wire.Submit)))

    @router.get("/jobs")
    async def jobs(owner: Owner = None, state: State = None, before: Before = None, limit: Limit = 100) -> Response:
        return replies.of(await desk.jobs(owner, state, before, limit))

    @router.get("/completed")
    async def completed(owner: Owner = None, top: Top = 10) -> Response:
        return replies.of(await desk.completed(owner, top))

    @router.get("/results")
    async def results(owner: Owner = None, after: Position = None, limit: Limit = 1000) -> Response:
        return replies.of(await desk.results(owner, after, limit))

    @router.get("/tail")
    async def tail(after: Position = None, wait_s: WaitS = 0) -> Response:
        return replies.of(views.tail(await tails.follow(after, wait_s)))

    @router.get("/stats")
    async def stats() -> Response:
        return replies.of(desk.stats())

    @router.get("/fleet")
    async def fleet() -> Response:
        return replies.of(desk.fleet())

    return router


def _single_jobs(router: APIRouter, desk: Desk, replies: bodies.Replies) -> None:
    @router.get("/jobs/{job_id}")
    async def job(job_id: JobId, owner: Owner = None) -> Response:
        return replies.of(await desk.job(owner, job_id))

    @router.post("/jobs/{job_id}/cancel")
    async def cancel(job_id: JobId, owner: Owner = None) -> Response:
        return replies.of(await desk.cancel(owner, job_id))

    @router.post("/jobs/{job_id}/requeue")
    async def requeue(job_id: JobId, new_id: NewId, owner: Owner = None) -> Response:
        return replies.of(await desk.requeue(owner, job_id, new_id))
