"""Everything that the reference store remembers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from dynwork.orchestrator.core.instance import COUNTED, Instance
from dynwork.orchestrator.core.job import Instant, Job, JobState
from dynwork.orchestrator.core.worker import Worker
from dynwork.orchestrator.store.values import Leadership


@dataclass(slots=True)
class Books:
    """Everything remembered.

    ``orchestrators``: by url, who it is and until when it lives; ``ended``: the newest feed position; ``retired``: the
    highest one deleted.
    """

    jobs: dict[str, Job] = field(default_factory=dict)
    workers: dict[str, Worker] = field(default_factory=dict)
    instances: dict[str, Instance] = field(default_factory=dict)
    leadership: Leadership | None = None
    orchestrators: dict[str, tuple[str, Instant]] = field(default_factory=dict)
    submitted: int = 0
    completed: int = 0
    ended: int = 0
    retired: int = 0

    def copy(self) -> Books:
        """Return books that can be written without changing these."""
        return replace(
            self,
            jobs=dict(self.jobs),
            workers=dict(self.workers),
            instances=dict(self.instances),
            orchestrators=dict(self.orchestrators),
        )

    @property
    def counted_instances(self) -> int:
        """How many instances count against the maximum."""
        return sum(one.state in COUNTED for one in self.instances.values())

    def leases_of(self, worker_id: str) -> list[Job]:
        """The jobs leased to a worker, in claim order."""
        return sorted(
            (job for job in self.jobs.values() if job.state is JobState.LEASED and job.lease.worker_id == worker_id),
            key=claim_order,
        )

    def in_feed_order(self, owner: str | None = None) -> list[Job]:
        """Every terminal job that is kept, of ``owner`` or of all, in feed order."""
        ended = [job for job in self.jobs.values() if job.terminal and owner in (None, job.owner)]
        return sorted(ended, key=lambda job: job.position or 0)


def claim_order(job: Job) -> tuple[int, Instant, str]:
    """Highest priority first, then longest due, then oldest id."""
    return (-job.priority, job.not_before, job.job_id)
