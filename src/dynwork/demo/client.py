"""What the demo asks of the cluster, through the client that everybody uses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from dynwork.client import AsyncClient, Work
from dynwork.clock import Clock
from dynwork.demo.work import Piece
from dynwork.wire import CompletedView, JobView

AT_ONCE = 20
"""Jobs handed in with one call."""
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
    """Hands everything in, and follows what comes of it."""

    def __init__(self, api: AsyncClient, clock: Clock, progress: Progress) -> None:
        self._api = api
        self._clock = clock
        self._began = clock.monotonic()
        self._cursor: str | None = None
        self.progress = progress

    async def burst(self, pieces: Sequence[Piece]) -> None:
        """Hand in everything."""
        for first in range(0, len(pieces), AT_ONCE):
            some = pieces[first : first + AT_ONCE]
            works = [Work(piece.buffer(), piece.iterations, key=f"demo-{piece.number}") for piece in some]
            for piece, receipt in zip(some, await self._api.submit_all(works), strict=True):
                self.progress.accepted[receipt.value()] = piece

    async def follow(self) -> None:
        """Read what ended since the last look."""
        while True:
            page = await self._api.results(self._cursor, limit=PAGE)
            self._cursor = page.next
            self.progress.ended.update(result.job_id for result in page.results)
            if len(page.results) < PAGE:
                return

    async def look_at_fleet(self) -> None:
        """Take a sample of the fleet."""
        fleet = await self._api.fleet()
        self.progress.workers = sum(worker.state == "ready" for worker in fleet.workers)
        self.progress.decision = fleet.decision or ""
        self.progress.fleet.append((self._clock.monotonic() - self._began, self.progress.workers))

    async def pull(self, top: int) -> dict[str, CompletedView]:
        """Return the newest results by job id."""
        return {result.job_id: result for result in await self._api.pull(top)}

    async def jobs(self) -> list[JobView]:
        """Return all jobs as they are."""
        return [job async for job in self._api.jobs()]


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
