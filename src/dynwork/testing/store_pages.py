"""Reading what a store tells page by page."""

from __future__ import annotations

from dynwork.orchestrator.core.job import Job, JobState
from dynwork.orchestrator.store.port import Store


async def listed(store: Store, owner: str | None, state: JobState | None = None, limit: int = 100) -> list[Job]:
    """List everything there is, page by page."""
    found: list[Job] = []
    before: str | None = None
    while True:
        page = await store.jobs(owner, state, before, limit)
        assert len(page.jobs) <= limit
        found += page.jobs
        if page.next is None:
            return found
        assert before is None or page.next < before, "a page goes on where it began"
        before = page.next
