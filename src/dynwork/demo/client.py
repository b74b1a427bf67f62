"""The demo's client: it knows the public API and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import httpx

from dynwork import logs
from dynwork.clock import Clock
from dynwork.demo.work import Piece
from dynwork.errors import NoOrchestratorError
from dynwork.wire import Accepted, CompletedView, Fleet, JobView, ResultsPage

log = logs.get("dynwork.demo")

AT_ONCE = 16
TRIES = 60
LOOK_S = 0.5
PAGE = 1000


@dataclass(slots=True)
class Progress:
    """What is known so far. ``fleet``: samples of (seconds since the start, ready workers)."""

    total: int
    accepted: dict[str, Piece] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    checked: int = 0
    workers: int = 0
    decision: str = ""
    fleet: list[tuple[float, int]] = field(default_factory=list)

    @property
    def most_workers(self) -> int:
        """The most that were ready at once."""
        return max((workers for _, workers in self.fleet), default=0)


class Client:
    """Talks to the APIs in turn, and again when one does not answer: every call may safely be repeated."""

    def __init__(self, urls: Sequence[str], http: httpx.AsyncClient, clock: Clock, progress: Progress) -> None:
        self._urls = urls
        self._http = http
        self._clock = clock
        self._began = clock.monotonic()
        self._turn = 0
        self._cursor: str | None = None
        self.progress = progress

    async def burst(self, pieces: Sequence[Piece]) -> None:
        """Send everything, several at once."""
        waiting = iter(pieces)

        async def sender() -> None:
            for piece in waiting:
                answer = await self._call(
                    "PUT",
                    "/enqueue",
                    params={"iterations": piece.iterations},
                    content=piece.buffer(),
                    headers={"Idempotency-Key": f"demo-{piece.number}"},
                )
                self.progress.accepted[Accepted.model_validate_json(answer.content).job_id] = piece

        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(sender())

    async def follow(self) -> None:
        """Read what ended since the last look."""
        while True:
            params: dict[str, str | int] = {"limit": PAGE}
            if self._cursor is not None:
                params["after"] = self._cursor
            answer = await self._call("GET", "/results", params)
            page = ResultsPage.model_validate_json(answer.content)
            self._cursor = page.next
            self.progress.ended.update(result.job_id for result in page.results)
            if len(page.results) < PAGE:
                return

    async def look_at_fleet(self) -> None:
        """Take a sample of the fleet."""
        fleet = Fleet.model_validate_json((await self._call("GET", "/fleet")).content)
        self.progress.workers = sum(worker.state == "ready" for worker in fleet.workers)
        self.progress.decision = fleet.decision or ""
        self.progress.fleet.append((self._clock.monotonic() - self._began, self.progress.workers))

    async def pull(self, top: int) -> dict[str, CompletedView]:
        """Return the newest results by job id."""
        answer = await self._call("POST", "/pullCompleted", params={"top": top})
        results = [CompletedView.model_validate(item) for item in answer.json()]
        return {result.job_id: result for result in results}

    async def jobs(self, job_ids: Sequence[str]) -> list[JobView]:
        """Return the jobs as they are."""
        found: list[JobView] = []
        waiting = iter(job_ids)

        async def asker() -> None:
            for job_id in waiting:
                answer = await self._call("GET", f"/jobs/{job_id}")
                found.append(JobView.model_validate_json(answer.content))

        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(asker())
        return found

    async def _call(
        self,
        method: str,
        path: str,
        params: Mapping[str, str | int] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        for _ in range(TRIES):
            self._turn += 1
            url = self._urls[self._turn % len(self._urls)]
            answer = None
            try:
                answer = await self._http.request(method, url + path, params=params, content=content, headers=headers)
            except httpx.TransportError:
                log.warning("api_failed", url=url)
            if answer is not None and answer.status_code not in (429, 503):
                return answer.raise_for_status()
            await self._clock.sleep(LOOK_S)
        raise NoOrchestratorError(f"no API answered {method} {path}")


def waits_s(jobs: Sequence[JobView]) -> list[float]:
    """Return how long each job waited to start, seconds, shortest first; those done on arrival did not wait at all."""
    waits = [
        (datetime.fromisoformat(job.started_at) - datetime.fromisoformat(job.created_at)).total_seconds()
        for job in jobs
        if job.started_at is not None
    ]
    return sorted(waits)


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` of them lie (nearest rank)."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


async def until(clock: Clock, done: Callable[[], bool], timeout_s: float, look: Callable[[], Awaitable[None]]) -> None:
    """Take a ``look`` twice a second until ``done``, at most for ``timeout_s`` seconds."""
    deadline = clock.monotonic() + timeout_s
    while not done() and clock.monotonic() < deadline:
        await clock.sleep(LOOK_S)
        await look()
