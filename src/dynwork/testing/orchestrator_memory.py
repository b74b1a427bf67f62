"""What fake orchestrators remember and how they answer: every internal call of the API, over dictionaries."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import httpx

from dynwork import errors, wire
from dynwork.wire import JobView, NewJob

CREATED_AT = "2026-01-01T00:00:00Z"


class FakeMemory:
    """Jobs that do not advance by themselves: :meth:`finish` or :meth:`kill` them."""

    def __init__(self) -> None:
        self.jobs: dict[str, NewJob] = {}
        self.ended: list[str] = []
        self.views: dict[str, JobView] = {}
        self.batches: list[wire.Submit] = []
        self.item_errors: dict[str, errors.DynworkError] = {}
        self.retired = 0
        self.something_ended = asyncio.Event()

    def finish(self, job_id: str, digest: str) -> None:
        """Let a job succeed."""
        self._end(job_id, state="succeeded", hash=digest)

    def kill(self, job_id: str) -> None:
        """Let a job be dead."""
        self._end(job_id, state="dead", error=wire.JobFault(code="work_failed", detail="it cannot be done"))

    def _end(self, job_id: str, **changes: object) -> None:
        self.views[job_id] = self.views[job_id].model_copy(update={**changes, "completed_at": CREATED_AT})
        self.ended.append(job_id)
        self.something_ended.set()

    def carry_out(self, request: httpx.Request) -> wire.Reply:
        """Answer one call. Raises the refusal."""
        owner = request.url.params.get("owner")
        match [request.method, *request.url.path.removeprefix("/internal/").split("/")]:
            case ["POST", "submit"]:
                return self._submit(wire.Submit.model_validate_json(request.content))
            case ["GET", "stats"]:
                return wire.StatsReply(stats=STATS)
            case ["GET", "fleet"]:
                return wire.FleetReply(fleet=FLEET)
            case ["GET", "tail"]:
                return self._tail(request.url.params.get("after"))
            case ["GET", *path]:
                return self._read(owner, path, dict(request.url.params))
            case ["POST", "jobs", job_id, "cancel"]:
                return self._cancel(owner, job_id)
            case ["POST", "jobs", job_id, "requeue"]:
                return self._requeue(owner, job_id, request.url.params["new_id"])
            case _:
                raise errors.NotFoundError(request.url.path)

    def _read(self, owner: str | None, path: Sequence[str], params: dict[str, str]) -> wire.Reply:
        match path:
            case ["jobs", job_id]:
                return wire.JobReply(job=self._owned(owner, job_id))
            case ["jobs"]:
                return self._jobs(owner, params)
            case ["completed"]:
                return self._completed(owner, int(params["top"]))
            case ["results"]:
                return self._results(owner, int(params.get("after", 0)), int(params["limit"]))
            case _:
                raise errors.NotFoundError("/".join(path))

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
            self._end(job_id, state="cancelled")
        return wire.JobReply(job=self.views[job_id])

    def _jobs(self, owner: str | None, params: dict[str, str]) -> wire.JobsReply:
        found = [
            view
            for job_id, view in sorted(self.views.items(), reverse=True)
            if self._sees(owner, job_id)
            and job_id < params.get("before", "g")
            and params.get("state", view.state) == view.state
        ]
        limit = int(params["limit"])
        return wire.JobsReply(jobs=found[:limit], next=found[limit - 1].job_id if len(found) > limit else None)

    def _requeue(self, owner: str | None, job_id: str, new_id: str) -> wire.RequeueReply:
        if self._owned(owner, job_id).state != "dead":
            raise errors.JobNotDeadError(f"the job is {self.views[job_id].state}")
        for view in self.views.values():
            if view.requeued_from == job_id:
                return wire.RequeueReply(job_id=view.job_id)
        self.jobs[new_id] = self.jobs[job_id].model_copy(update={"job_id": new_id, "key": None})
        self.views[new_id] = _view(self.jobs[new_id]).model_copy(update={"requeued_from": job_id})
        return wire.RequeueReply(job_id=new_id)

    def _tail(self, after: str | None) -> wire.TailReply:
        place = len(self.ended) if after is None else int(after)
        self._require_kept(place)
        fresh = [wire.EndedRef(job_id=job_id, owner=self.jobs[job_id].owner) for job_id in self.ended[place:]]
        return wire.TailReply(next=len(self.ended), ended=fresh)

    def _require_kept(self, place: int) -> None:
        if not self.retired <= place <= max(self.retired, len(self.ended)):
            raise errors.CursorExpiredError("what ended after this position may be gone")

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
        self._require_kept(after)
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
