"""The reference store: the contract of :mod:`.port`, in dicts, as plainly as it can be said.

It is the specification that can be run: every other store is driven against it and must answer alike. So nothing here
is clever: one command is carried out after the other (:mod:`.memory_round`), queues are sorted when they are needed,
totals are counted when they are asked for. A transaction works on a copy that replaces the books when it succeeds;
since all values are immutable, copying the dicts is enough. Nothing survives the process; ``close`` and ``open`` keep
everything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from dynwork import ids
from dynwork.errors import CursorExpiredError
from dynwork.orchestrator.core.backlog import Backlog
from dynwork.orchestrator.core.job import Instant, Job, JobState
from dynwork.orchestrator.core.worker import Worker
from dynwork.orchestrator.store.commands import Receipt, Round
from dynwork.orchestrator.store.memory_acts import Acts
from dynwork.orchestrator.store.values import Ended, FeedPage, JobsPage, News, Rules, Swept, Tail, Totals


class MemoryStore(Acts):
    """A :class:`~dynwork.orchestrator.store.port.Store` in memory; every method as the port describes it."""

    def __init__(self, rules: Rules | None = None, cluster_id: str | None = None) -> None:
        super().__init__(rules or Rules())
        self._cluster_id = cluster_id or ids.new_id()
        self._listeners: list[Callable[[News], None]] = []

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""

    async def cluster_id(self) -> str:
        """See :meth:`Store.cluster_id`."""
        return self._cluster_id

    # -- the way of a job
    async def commit(self, round_: Round, now: Instant) -> Receipt:
        """See :meth:`Store.commit`."""
        with self._transaction(now) as work:
            verdicts = [work.report(item) for item in round_.reports]
            pulses = [work.heartbeat(item) for item in round_.heartbeats]
            cancels = [work.cancel(item) for item in round_.cancels]
            requeues = [work.requeue(item) for item in round_.requeues]
            submissions = [work.submit(item) for item in round_.submissions]
            grants = [work.ask(item) for item in round_.asks]
        return Receipt(verdicts, pulses, cancels, requeues, submissions, grants, work.claimable, work.ended)

    async def worker_gone(self, worker_id: str, now: Instant) -> Swept:
        """See :meth:`Store.worker_gone`."""
        with self._transaction(now) as work:
            return work.lose([worker_id], None)

    async def next_due(self, now: Instant) -> Instant | None:
        """See :meth:`Store.next_due`."""
        return min((job.not_before for job in self._books.jobs.values() if job.state is JobState.QUEUED), default=None)

    # -- reads
    async def job(self, owner: str | None, job_id: str) -> Job | None:
        """See :meth:`Store.job`."""
        job = self._books.jobs.get(job_id)
        return job if job is not None and owner in (None, job.owner) else None

    async def jobs(self, owner: str | None, state: JobState | None, before: str | None, limit: int) -> JobsPage:
        """See :meth:`Store.jobs`."""
        found = [
            job
            for _, job in sorted(self._books.jobs.items(), reverse=True)
            if owner in (None, job.owner) and state in (None, job.state) and (before is None or job.job_id < before)
        ]
        return JobsPage(found[:limit], found[limit - 1].job_id if len(found) > limit else None)

    async def newest_succeeded(self, owner: str | None, top: int) -> Sequence[Job]:
        """See :meth:`Store.newest_succeeded`."""
        own = [job for job in self._books.in_feed_order(owner) if job.state is JobState.SUCCEEDED]
        return own[::-1][:top]

    async def feed(self, owner: str | None, after: int | None, limit: int) -> FeedPage:
        """See :meth:`Store.feed`."""
        if after is not None and after < self._books.retired:
            raise CursorExpiredError(f"results up to position {self._books.retired} are no longer kept")
        if after is not None and after > self._books.ended:
            raise CursorExpiredError(f"position {self._books.ended} is the newest")
        own = [job for job in self._books.in_feed_order(owner) if (job.position or 0) > (after or 0)]
        if len(own) < limit:
            return FeedPage(own, self._books.ended)
        return FeedPage(own[:limit], own[limit - 1].position or 0)

    async def tail(self, after: int | None, limit: int) -> Tail:
        """See :meth:`Store.tail`."""
        if after is None:
            return Tail([], self._books.ended)
        page = await self.feed(None, after, limit)
        return Tail([Ended(job.job_id, job.owner) for job in page.jobs], page.next)

    async def totals(self) -> Totals:
        """See :meth:`Store.totals`."""
        jobs = self._books.jobs.values()
        states = [job.state for job in jobs]
        return Totals(
            queued=states.count(JobState.QUEUED),
            leased=states.count(JobState.LEASED),
            succeeded=states.count(JobState.SUCCEEDED),
            dead=states.count(JobState.DEAD),
            cancelled=states.count(JobState.CANCELLED),
            backlog=_backlog([job for job in jobs if not job.terminal]),
            submitted=self._books.submitted,
            completed=self._books.completed,
        )

    async def workers(self) -> Sequence[Worker]:
        """See :meth:`Store.workers`."""
        return [
            replace(worker, leases=len(self._books.leases_of(worker_id)))
            for worker_id, worker in sorted(self._books.workers.items())
        ]

    # -- orchestrators side by side: any number may share this object, in one event loop
    async def time(self) -> Instant | None:
        """None: all who share it are given one clock."""
        return None

    async def register(self, url: str, holder: str, now: Instant, ttl_s: float) -> Sequence[str]:
        """See :meth:`Store.register`."""
        with self._transaction(now) as work:
            work.books.orchestrators[url] = (holder, now + ttl_s)
            return sorted(url for url, (_, until) in work.books.orchestrators.items() if until >= now)

    async def deregister(self, holder: str) -> None:
        """See :meth:`Store.deregister`."""
        for url, (known, _) in list(self._books.orchestrators.items()):
            if known == holder:
                del self._books.orchestrators[url]

    async def announce(self, news: News) -> None:
        """See :meth:`Store.announce`."""
        for heed in tuple(self._listeners):
            heed(news)

    async def listen(self, heed: Callable[[News], None]) -> None:
        """See :meth:`Store.listen`."""
        self._listeners.append(heed)
        try:
            await asyncio.Event().wait()
        finally:
            self._listeners.remove(heed)

    async def check(self) -> Sequence[str]:
        """Nothing can be broken here that no other method would show."""
        return ()


def _backlog(jobs: Sequence[Job]) -> dict[str, Backlog]:
    """The work ahead in jobs that have not ended, by kind."""
    return {
        kind: Backlog(
            queued=sum(job.state is JobState.QUEUED for job in jobs if job.kind == kind),
            steps=float(sum(job.chain.remaining for job in jobs if job.kind == kind)),
        )
        for kind in {job.kind for job in jobs}
    }
