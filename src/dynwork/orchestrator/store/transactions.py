"""Everything that a store of rows does, whatever its engine: each method of the port is one transaction.

A transaction is a plain function of a SQLAlchemy ``Connection``. An engine adds how one is run (:meth:`_write`,
:meth:`_read`), and what lies outside transactions: opening and closing, the clock, announcements.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import Connection

from dynwork.orchestrator.core.instance import Event, Instance
from dynwork.orchestrator.core.job import Instant, Job, JobState
from dynwork.orchestrator.core.worker import Worker
from dynwork.orchestrator.store import checking, claims, fleet, leadership, listing, reading, registry, sweeping, tally
from dynwork.orchestrator.store.batch import Batch
from dynwork.orchestrator.store.commands import Receipt, Round
from dynwork.orchestrator.store.round import carry_out
from dynwork.orchestrator.store.values import FeedPage, JobsPage, Leadership, Rules, Swept, Tail, Totals

T = TypeVar("T")


class Transactions(ABC):
    """The transactions of :class:`dynwork.orchestrator.store.port.Store`."""

    def __init__(self, rules: Rules, shard: str) -> None:
        """``shard``: which rows of the totals are this writer's own."""
        self._rules = rules
        self._shard = shard

    @abstractmethod
    async def _write(self, act: Callable[[Connection], T]) -> T:
        """Run ``act`` in one transaction that is durable on return. Raises ``StoreUnavailableError``."""

    @abstractmethod
    async def _read(self, act: Callable[[Connection], T]) -> T:
        """Run ``act`` over one snapshot, beside the writers. Raises ``StoreUnavailableError``."""

    async def _batch(self, now: Instant, act: Callable[[Batch], T]) -> T:
        return await self._write(lambda conn: act(Batch(conn, self._rules, now, self._shard)))

    # -- the way of a job
    async def commit(self, round_: Round, now: Instant) -> Receipt:
        """See :meth:`Store.commit`."""
        return await self._write(lambda conn: carry_out(conn, round_, self._rules, now, self._shard))

    async def worker_gone(self, worker_id: str, now: Instant) -> Swept:
        """See :meth:`Store.worker_gone`."""
        return await self._batch(now, lambda batch: sweeping.worker_gone(batch, worker_id))

    async def next_due(self, now: Instant) -> Instant | None:
        """See :meth:`Store.next_due`."""
        return await self._read(lambda conn: claims.next_due(Batch(conn, self._rules, now, self._shard)))

    # -- reads
    async def job(self, owner: str | None, job_id: str) -> Job | None:
        """See :meth:`Store.job`."""
        return await self._read(lambda conn: reading.job(conn, owner, job_id))

    async def jobs(self, owner: str | None, state: JobState | None, before: str | None, limit: int) -> JobsPage:
        """See :meth:`Store.jobs`."""
        return await self._read(lambda conn: listing.jobs(conn, owner, state, before, limit))

    async def newest_succeeded(self, owner: str | None, top: int) -> Sequence[Job]:
        """See :meth:`Store.newest_succeeded`."""
        return await self._read(lambda conn: reading.newest_succeeded(conn, owner, top))

    async def feed(self, owner: str | None, after: int | None, limit: int) -> FeedPage:
        """See :meth:`Store.feed`."""
        return await self._read(lambda conn: reading.feed(conn, owner, after, limit))

    async def tail(self, after: int | None, limit: int) -> Tail:
        """See :meth:`Store.tail`."""
        return await self._read(lambda conn: reading.tail(conn, after, limit))

    async def totals(self) -> Totals:
        """See :meth:`Store.totals`."""
        return await self._read(tally.totals)

    async def workers(self) -> Sequence[Worker]:
        """See :meth:`Store.workers`."""
        return await self._read(reading.workers)

    async def check(self) -> Sequence[str]:
        """See :meth:`Store.check`."""
        return await self._read(checking.broken)

    # -- orchestrators side by side
    async def register(self, url: str, holder: str, now: Instant, ttl_s: float) -> Sequence[str]:
        """See :meth:`Store.register`."""
        return await self._write(lambda conn: registry.register(conn, url, holder, now, ttl_s))

    async def deregister(self, holder: str) -> None:
        """See :meth:`Store.deregister`."""
        await self._write(lambda conn: registry.deregister(conn, holder))

    # -- the leader
    async def expire(self, epoch: int, now: Instant, limit: int) -> Swept:
        """See :meth:`Store.expire`."""
        return await self._batch(now, lambda batch: sweeping.expire(batch, epoch, limit))

    async def retire(self, epoch: int, before: Instant, limit: int) -> int:
        """See :meth:`Store.retire`."""
        return await self._batch(before, lambda batch: sweeping.retire(batch, epoch, before, limit))

    async def forget(self, epoch: int, before: Instant) -> int:
        """See :meth:`Store.forget`."""
        return await self._batch(before, lambda batch: sweeping.forget(batch, epoch, before))

    async def leadership(self) -> Leadership | None:
        """See :meth:`Store.leadership`."""
        return await self._read(leadership.leadership)

    async def lead(self, holder: str, now: Instant, ttl_s: float, decision: str | None = None) -> int | None:
        """See :meth:`Store.lead`."""
        return await self._write(lambda conn: leadership.lead(conn, holder, now, ttl_s, decision))

    async def instances(self) -> Sequence[Instance]:
        """See :meth:`Store.instances`."""
        return await self._read(reading.instances)

    async def intend(self, epoch: int, intent: Instance, fleet_max: int) -> Instance | None:
        """See :meth:`Store.intend`."""
        return await self._write(lambda conn: fleet.intend(conn, epoch, intent, fleet_max))

    async def adopt(self, epoch: int, found: Instance, fleet_max: int, now: Instant) -> Instance:
        """See :meth:`Store.adopt`."""
        return await self._write(lambda conn: fleet.adopt(conn, epoch, found, fleet_max, now))

    async def instance_event(self, epoch: int, instance_id: str, event: Event, now: Instant) -> Instance | None:
        """See :meth:`Store.instance_event`."""
        return await self._write(lambda conn: fleet.instance_event(conn, epoch, instance_id, event, now))

    async def drain_if_idle(self, epoch: int, instance_id: str, reason: str, now: Instant) -> bool:
        """See :meth:`Store.drain_if_idle`."""
        return await self._write(lambda conn: fleet.drain_if_idle(conn, epoch, instance_id, reason, now))
