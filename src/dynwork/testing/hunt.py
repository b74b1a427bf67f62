"""Kills workers with -9 while they are in the middle of something, and measures what becomes of it.

A victim is the worker that has a given job, known by public answers alone: ``GET /jobs/{id}`` says how far the last
checkpoint is and who has it, ``GET /fleet`` which process that is. It is killed when the checkpoint is between 20 and
80 %, and some time after it was first seen, so that there is work to lose which no checkpoint covers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from dynwork.clock import SystemClock
from dynwork.testing.cluster import Cluster
from dynwork.testing.ledger import Ledger
from dynwork.testing.processes import kill
from dynwork.wire import Fleet, JobView

LEAST, MOST = 20.0, 80.0
"""Between which percentages the victim's checkpoint must be."""


@dataclass(slots=True)
class Kill:
    """A worker that was killed while it had ``job_id``; times are seconds of the monotonic clock."""

    job_id: str
    worker_id: str
    percent: float
    at: float
    leased_again_at: float | None = None

    @property
    def leased_again_s(self) -> float:
        """How long the job was without a living worker, seconds."""
        assert self.leased_again_at is not None, f"{self.job_id} was not leased again"
        return self.leased_again_at - self.at


class Hunt:
    """Call :meth:`look` again and again. A job may lose its worker several times, each time at a new checkpoint."""

    def __init__(self, cluster: Cluster, ledger: Ledger, job_ids: Sequence[str], phases_s: Sequence[float]) -> None:
        """``phases_s``: how long after a checkpoint was first seen to kill, in turn for each kill, seconds."""
        self._cluster = cluster
        self._ledger = ledger
        self._clock = SystemClock()
        self._alive = list(job_ids)
        self._phases_s = phases_s
        self._seen: dict[str, tuple[int, float]] = {}
        self.kills: list[Kill] = []

    def look(self, kills_max: int) -> None:
        """Look at every job that has not ended: see it leased again, or kill, unless that was done so often already."""
        for job_id in list(self._alive):
            job = self._ledger.job(job_id)
            if job.completed_at is not None:
                self._alive.remove(job_id)
            self._see_leased_again(job)
            if job.state == "leased" and len(self.kills) < kills_max and self._is_time(job):
                self._kill(job)

    @property
    def settled(self) -> bool:
        """Whether every job that lost its worker has another."""
        return all(kill_.leased_again_at is not None for kill_ in self.kills)

    def _is_time(self, job: JobView) -> bool:
        now = self._clock.monotonic()
        done, since = self._seen.get(job.job_id, (0, now))
        if job.done != done:
            self._seen[job.job_id] = job.done, now
            since = now
        phase_s = self._phases_s[len(self.kills) % len(self._phases_s)]
        return LEAST <= job.percent <= MOST and now - since >= phase_s and not self._killed_at(job)

    def _killed_at(self, job: JobView) -> bool:
        return any(kill_.job_id == job.job_id and kill_.percent >= job.percent for kill_ in self.kills)

    def _kill(self, job: JobView) -> None:
        fleet = Fleet.model_validate(self._cluster.fleet())
        pid = next((worker.pid for worker in fleet.workers if worker.worker_id == job.worker_id), None)
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            kill(pid)
            at = self._clock.monotonic()
            if self._ledger.job(job.job_id).completed_at is None:  # else it was faster than we
                self.kills.append(Kill(job.job_id, job.worker_id or "", job.percent, at))

    def _see_leased_again(self, job: JobView) -> None:
        open_ = [one for one in self.kills if one.leased_again_at is None and one.job_id == job.job_id]
        for one in open_:
            if job.worker_id not in (None, one.worker_id):
                one.leased_again_at = self._clock.monotonic()
