"""Orchestrators as an API instance sees them: a transport for httpx that answers the internal routes from memory.

Several addresses share one memory, as several orchestrators share one store. Faults are scripted for each address and
used up in order; ``LOST`` is the nasty one: the request takes effect and its answer never arrives.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import httpx

from dynwork import errors, problems, wire
from dynwork.wire import JobView, NewJob

Fault = Callable[[httpx.Request, Callable[[], Awaitable[httpx.Response]]], Awaitable[httpx.Response]]
Answer = Callable[[], Awaitable[httpx.Response]]

CREATED_AT = "2026-01-01T00:00:00Z"


async def REFUSED(request: httpx.Request, _answer: Answer) -> httpx.Response:  # noqa: N802 - reads like a constant
    """Nobody listens."""
    raise httpx.ConnectError("connection refused", request=request)


async def LOST(request: httpx.Request, answer: Answer) -> httpx.Response:  # noqa: N802
    """The request takes effect, the answer is lost on its way."""
    await answer()
    raise httpx.ReadError("connection reset", request=request)


def replying(status: int, content: bytes = b"", headers: dict[str, str] | None = None) -> Fault:
    """Answer with this, whatever was asked, without effect."""

    async def fault(_request: httpx.Request, _answer: Answer) -> httpx.Response:
        return httpx.Response(status, content=content, headers=headers)

    return fault


def refusing(error: errors.DynworkError) -> Fault:
    """Refuse the whole call with ``error``."""
    response = problems.of_error(error)
    return replying(response.status_code, bytes(response.body), dict(response.headers))


def held(reached: asyncio.Event, released: asyncio.Event) -> Fault:
    """Set ``reached``, and answer once ``released`` is set."""

    async def fault(_request: httpx.Request, answer: Answer) -> httpx.Response:
        reached.set()
        await released.wait()
        return await answer()

    return fault


class FakeOrchestrators(httpx.AsyncBaseTransport):
    """Orchestrators at any address, over one memory. Jobs do not advance by themselves: :meth:`finish` them."""

    def __init__(self, behind: httpx.AsyncBaseTransport | None = None) -> None:
        """``behind``: who answers instead of the memory, a real orchestrator for instance; faults remain possible."""
        self._behind = behind
        self.jobs: dict[str, NewJob] = {}
        self.ended: list[str] = []
        self.views: dict[str, JobView] = {}
        self.calls: list[httpx.Request] = []
        self.batches: list[wire.Submit] = []
        self.faults: dict[str, deque[Fault]] = {}
        self.always: dict[str, Fault] = {}
        self.item_errors: dict[str, errors.DynworkError] = {}
        self.retired = 0
        self.living: list[str] = []

    def fail(self, url: str, *faults: Fault, forever: bool = False) -> None:
        """Let the next calls to ``url`` go as ``faults`` say; ``forever``: and all calls after."""
        self.faults.setdefault(url, deque()).extend(faults)
        if forever:
            self.always[url] = faults[-1]

    def heal(self, url: str) -> None:
        """Let ``url`` answer again."""
        self.faults.pop(url, None)
        self.always.pop(url, None)

    def finish(self, job_id: str, digest: str) -> None:
        """Let a job succeed."""
        self.views[job_id] = self.views[job_id].model_copy(
            update={"state": "succeeded", "hash": digest, "completed_at": CREATED_AT}
        )
        self.ended.append(job_id)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one call. See :class:`httpx.AsyncBaseTransport`."""
        await request.aread()
        self.calls.append(request)
        url = f"{request.url.scheme}://{request.url.netloc.decode()}"

        async def answer() -> httpx.Response:
            return await self._behind.handle_async_request(request) if self._behind else self._answer(request)

        planned = self.faults.get(url)
        fault = planned.popleft() if planned else self.always.get(url)
        return await (fault(request, answer) if fault else answer())

    def _answer(self, request: httpx.Request) -> httpx.Response:
        try:
            reply = self._carry_out(request).model_copy(update={"orchestrators": self.living})
        except errors.DynworkError as error:
            response = problems.of_error(error)
            return httpx.Response(response.status_code, content=bytes(response.body), headers=dict(response.headers))
        return httpx.Response(200, content=reply.model_dump_json())

    def _carry_out(self, request: httpx.Request) -> wire.Reply:
        owner = request.url.params.get("owner")
        match [request.method, *request.url.path.removeprefix("/internal/").split("/")]:
            case ["POST", "submit"]:
                return self._submit(wire.Submit.model_validate_json(request.content))
            case ["GET", "jobs", job_id]:
                return wire.JobReply(job=self._owned(owner, job_id))
            case ["POST", "jobs", job_id, "cancel"]:
                return self._cancel(owner, job_id)
            case ["GET", "completed"]:
                return self._completed(owner, int(request.url.params["top"]))
            case ["GET", "results"]:
                return self._results(owner, int(request.url.params.get("after", 0)), int(request.url.params["limit"]))
            case ["GET", "stats"]:
                return wire.StatsReply(stats=STATS)
            case ["GET", "fleet"]:
                return wire.FleetReply(fleet=FLEET)
            case _:
                raise errors.NotFoundError(request.url.path)

    def _submit(self, message: wire.Submit) -> wire.SubmitReply:
        self.batches.append(message)
        return wire.SubmitReply(results=[self._enter(job) for job in message.jobs])

    def _enter(self, job: NewJob) -> wire.Submitted:
        refused = self.item_errors.get(job.key or job.job_id)
        first = next(
            (old for old in self.jobs.values() if job.key and (old.owner, old.key) == (job.owner, job.key)), job
        )
        if (first.state, first.total, first.priority, first.kind) != (job.state, job.total, job.priority, job.kind):
            refused = errors.KeyReusedError("this key was used for another job")
        if refused is not None:
            return wire.Submitted(error=wire.ItemError(code=refused.code, detail=refused.detail))
        self.jobs.setdefault(first.job_id, first)
        if first.job_id not in self.views:
            self.views[first.job_id] = _view(first)
            if first.done == first.total:
                self.finish(first.job_id, first.state.hex())
        return wire.Submitted(job_id=first.job_id)

    def _sees(self, owner: str | None, job_id: str) -> bool:
        """No owner: an admin asks, who sees everybody's."""
        return owner is None or self.jobs[job_id].owner == owner

    def _owned(self, owner: str | None, job_id: str) -> JobView:
        if job_id not in self.jobs or not self._sees(owner, job_id):
            raise errors.NotFoundError(f"there is no job {job_id}")
        return self.views[job_id]

    def _cancel(self, owner: str | None, job_id: str) -> wire.JobReply:
        view = self._owned(owner, job_id)
        if view.state in ("succeeded", "dead"):
            raise errors.JobFinishedError(f"the job is {view.state}")
        if view.state != "cancelled":
            self.views[job_id] = view.model_copy(update={"state": "cancelled", "completed_at": CREATED_AT})
            self.ended.append(job_id)
        return wire.JobReply(job=self.views[job_id])

    def _completed(self, owner: str | None, top: int) -> wire.CompletedReply:
        mine = [self.views[job_id] for job_id in reversed(self.ended) if self._sees(owner, job_id)]
        return wire.CompletedReply(
            results=[
                wire.CompletedView(
                    job_id=view.job_id, hash=view.hash, iterations=view.iterations, completed_at=CREATED_AT
                )
                for view in mine
                if view.hash
            ][:top]
        )

    def _results(self, owner: str | None, after: int, limit: int) -> wire.ResultsReply:
        if after < self.retired:
            raise errors.CursorExpiredError("entries after this cursor may have been deleted")
        fresh = [(place, job_id) for place, job_id in enumerate(self.ended, 1) if place > after]
        mine = [(place, self.views[job_id]) for place, job_id in fresh if self._sees(owner, job_id)][:limit]
        return wire.ResultsReply(
            results=[wire.ResultView(**{**view.model_dump(), "completed_at": CREATED_AT}) for _, view in mine],
            next=mine[-1][0] if len(mine) == limit else len(self.ended),
        )


def _view(job: NewJob) -> JobView:
    return JobView(
        job_id=job.job_id,
        owner=job.owner,
        state="queued",
        kind=job.kind,
        iterations=job.total,
        done=job.done,
        percent=100 * job.done / job.total,
        priority=job.priority,
        attempts=0,
        worker_id=None,
        created_at=CREATED_AT,
        started_at=None,
        completed_at=None,
        eta_s=None,
        hash=None,
        error=None,
        requeued_from=None,
    )


STATS = wire.Stats(
    queued=3,
    leased=1,
    succeeded=2,
    dead=0,
    cancelled=0,
    backlog_steps=400.0,
    backlog_s=None,
    submitted_per_s=1.5,
    completed_per_s=1.0,
    oldest_wait_s=0.25,
)
FLEET = wire.Fleet(min=1, max=4, workers=[], instances=[], leader="orchestrator-1", decision="stay at 1")
