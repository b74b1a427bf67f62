"""The public API as a client sees it, in memory and in virtual time: jobs, keys, the feed, and what can go wrong.

It keeps only what the client's promises are about. The real API is put to the same questions in
``tests/system/test_client.py``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from dynwork.client import AsyncOutside, Outside
from dynwork.ids import new_id

ENDED_AT = "2026-01-01T00:00:00Z"
Answer = httpx.Response | BaseException


def problem(status: int, code: str, detail: str = "what to do", **headers: str) -> httpx.Response:
    """Return an error as an API tells it."""
    body = {"title": "x", "status": status, "code": code, "detail": detail}
    return httpx.Response(status, json=body, headers={name.replace("_", "-"): value for name, value in headers.items()})


def job_view(job_id: str, state: str = "queued", **fields: Any) -> dict[str, Any]:
    """Return a job as an API tells it."""
    ended = state in ("succeeded", "dead", "cancelled")
    return {
        "job_id": job_id,
        "owner": "local",
        "state": state,
        "kind": "sha512-chain",
        "iterations": 7,
        "done": 1,
        "percent": 10.0,
        "priority": 5,
        "attempts": 0,
        "worker_id": None,
        "created_at": ENDED_AT,
        "started_at": None,
        "completed_at": ENDED_AT if ended else None,
        "eta_s": None,
        "hash": "ab" * 64 if state == "succeeded" else None,
        "error": {"code": "kind_error", "detail": "it broke"} if state == "dead" else None,
        "requeued_from": None,
        **fields,
    }


@dataclass
class VirtualTime:
    """Seconds that pass only while somebody sleeps."""

    now: float = 100.0
    slept: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        """Return the time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept.append(seconds)
        self.now += seconds

    async def sleep_async(self, seconds: float) -> None:
        """Let time pass."""
        self.sleep(seconds)

    def outside(self, handler: Callable[[httpx.Request], httpx.Response]) -> AsyncOutside:
        """Return what an ``AsyncClient`` needs to live in this time and to be answered by ``handler``."""
        return AsyncOutside(self.monotonic, self.sleep_async, lambda: 0.0, new_id, httpx.MockTransport(handler))

    def outside_sync(self, handler: Callable[[httpx.Request], httpx.Response]) -> Outside:
        """Return the same for a ``Client``."""
        return Outside(self.monotonic, self.sleep, lambda: 0.0, new_id, httpx.MockTransport(handler))


@dataclass
class Job:
    """A job; ``item`` is what was handed in."""

    job_id: str
    item: dict[str, Any]
    state: str = "queued"


class PublicApi:
    """An httpx handler. ``per_look``: how many jobs end before each look at the feed.

    ``faults`` are given in place of the next answers, ``lost`` likewise, but after the request took effect: the answer
    was lost on its way. ``unavailable``: that many items of bulks are not taken at first. ``expire``: that many looks
    at the feed find that everything has ended and their cursor is gone.
    """

    def __init__(self, per_look: int = 10) -> None:
        self.per_look = per_look
        self.jobs: dict[str, Job] = {}
        self.keys: dict[str, str] = {}
        self.feed: list[str] = []
        self.requests: list[httpx.Request] = []
        self.faults: Iterator[Answer | None] = iter(())
        self.lost: Iterator[Answer | None] = iter(())
        self.unavailable = 0
        self.expire = 0
        self.most_open = 0
        self.ends_as: Callable[[Job], str] = lambda job: "succeeded"

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer."""
        self.requests.append(request)
        if (fault := next(self.faults, None)) is not None:
            return _given(fault)
        answer = self._routed(request)
        if (fault := next(self.lost, None)) is not None:
            return _given(fault)
        return answer

    def count(self, method: str, path: str) -> int:
        """Return how often that was asked."""
        return sum(request.method == method and request.url.path == path for request in self.requests)

    def end(self, job: Job) -> None:
        """Let a job end."""
        job.state = self.ends_as(job)
        self.feed.append(job.job_id)

    def _routed(self, request: httpx.Request) -> httpx.Response:
        path, params = request.url.path, request.url.params
        if (request.method, path) == ("POST", "/jobs"):
            return httpx.Response(
                202, json={"results": [self._taken(item) for item in json.loads(request.content)["jobs"]]}
            )
        if path == "/enqueue":
            item = {**params, "key": request.headers["Idempotency-Key"], "body": request.content}
            return httpx.Response(202, json={"job_id": self._taken(item)["job_id"]})
        if path == "/results":
            return self._page(params)
        if (found := re.fullmatch(r"/jobs/([^/]+)", path)) and found[1] in self.jobs:
            if "wait_s" in params and self.jobs[found[1]].state == "queued":
                self.end(self.jobs[found[1]])
            return httpx.Response(200, json=self._view(self.jobs[found[1]]))
        return problem(404, "not_found")

    def _taken(self, item: dict[str, Any]) -> dict[str, Any]:
        if self.unavailable:
            self.unavailable -= 1
            return {"error": {"code": "queue_full", "detail": "later"}}
        if item["iterations"] == 0:
            return {"error": {"code": "invalid_input", "detail": "iterations"}}
        if known := self.keys.get(item["key"]):
            return {"job_id": known, "repeated": True}
        job = Job(new_id(), item)
        self.jobs[job.job_id] = job
        self.keys[item["key"]] = job.job_id
        self.most_open = max(self.most_open, len(self.open))
        return {"job_id": job.job_id}

    @property
    def open(self) -> list[Job]:
        """The jobs that have not ended."""
        return [job for job in self.jobs.values() if job.state == "queued"]

    def _page(self, params: httpx.QueryParams) -> httpx.Response:
        if params.get("after") == "newest":
            return httpx.Response(200, json={"results": [], "next": str(len(self.feed))})
        if self.expire:
            self.expire -= 1
            for job in self.open:
                self.end(job)
            return problem(410, "cursor_expired")
        for job in self.open[: self.per_look]:
            self.end(job)
        start, limit = int(params.get("after", 0)), int(params["limit"])
        entries = [self._entry(self.jobs[job_id]) for job_id in self.feed[start : start + limit]]
        return httpx.Response(200, json={"results": entries, "next": str(start + len(entries))})

    def _view(self, job: Job) -> dict[str, Any]:
        return job_view(job.job_id, job.state, hash=hash_of(job.item) if job.state == "succeeded" else None)

    def _entry(self, job: Job) -> dict[str, Any]:
        view = self._view(job)
        return {name: view[name] for name in ("job_id", "state", "hash", "iterations", "completed_at", "error")}


def hash_of(item: dict[str, Any]) -> str:
    """What stands for the result: it names the buffer."""
    if "sha512" in item:
        return str(item["sha512"])
    body = base64.b64decode(item["data"]) if "data" in item else item["body"]
    return hashlib.sha512(body).hexdigest()


def _given(fault: Answer) -> httpx.Response:
    if isinstance(fault, BaseException):
        raise fault
    return fault
