"""What the leader does, on the reference store's books: expire, retire, forget, and look after the fleet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import takewhile

from dynwork.errors import StaleLeaderError
from dynwork.orchestrator.core import instance
from dynwork.orchestrator.core.instance import Drained, Instance, InstanceState
from dynwork.orchestrator.core.job import Instant
from dynwork.orchestrator.core.worker import WorkerState
from dynwork.orchestrator.store.memory_books import Books
from dynwork.orchestrator.store.memory_round import Transaction
from dynwork.orchestrator.store.values import Leadership, Rules, Swept


class Acts:
    """The books, transactions on them, and those that need a leadership."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._books = Books()

    @contextmanager
    def _transaction(self, now: Instant) -> Iterator[Transaction]:
        draft = self._books.copy()
        yield Transaction(draft, self._rules, now)
        self._books = draft

    @contextmanager
    def _act(self, epoch: int, now: Instant) -> Iterator[Transaction]:
        """A transaction under the leadership of ``epoch``."""
        with self._transaction(now) as work:
            present = work.books.leadership
            if present is None or present.epoch != epoch:
                raise StaleLeaderError(f"leadership {epoch} has passed; nothing was changed")
            yield work

    async def leadership(self) -> Leadership | None:
        """See :meth:`Store.leadership`."""
        return self._books.leadership

    async def lead(self, holder: str, now: Instant, ttl_s: float, decision: str | None = None) -> int | None:
        """See :meth:`Store.lead`."""
        with self._transaction(now) as work:
            present = work.books.leadership
            if present is None:
                epoch = 1
            elif present.holder == holder:
                epoch = present.epoch
            elif present.until <= now:
                epoch = present.epoch + 1
            else:
                return None
            work.books.leadership = Leadership(holder, epoch, now + ttl_s, decision)
        return epoch

    async def expire(self, epoch: int, now: Instant, limit: int) -> Swept:
        """See :meth:`Store.expire`."""
        with self._act(epoch, now) as work:
            silent = [worker_id for worker_id, worker in work.books.workers.items() if worker.lease_until < now]
            swept = work.lose(silent, limit)
        return replace(swept, more=swept.expired == limit)

    async def retire(self, epoch: int, before: Instant, limit: int) -> int:
        """See :meth:`Store.retire`."""
        with self._act(epoch, before) as work:
            old = list(takewhile(lambda job: (job.completed_at or 0.0) < before, work.books.in_feed_order()[:limit]))
            for job in old:
                del work.books.jobs[job.job_id]
                work.books.retired = job.position or 0
        return len(old)

    async def forget(self, epoch: int, before: Instant) -> int:
        """See :meth:`Store.forget`."""
        with self._act(epoch, before) as work:
            gone = [
                worker_id
                for worker_id, worker in work.books.workers.items()
                if worker.state is WorkerState.LOST
                and worker.last_seen_at < before
                and not work.books.leases_of(worker_id)
            ]
            for worker_id in gone:
                del work.books.workers[worker_id]
            for url, (_, until) in list(work.books.orchestrators.items()):
                if until < before:
                    del work.books.orchestrators[url]
            for name, one in list(work.books.instances.items()):
                if one.state is InstanceState.ENDED and (one.ended_at or 0.0) < before:
                    del work.books.instances[name]
        return len(gone)

    async def instances(self) -> Sequence[Instance]:
        """See :meth:`Store.instances`."""
        known = self._books.instances.values()
        standing = [one for one in known if one.state is not InstanceState.ENDED]
        return sorted(standing, key=lambda one: (one.intended_at, one.instance_id))

    async def intend(self, epoch: int, intent: Instance, fleet_max: int) -> Instance | None:
        """See :meth:`Store.intend`."""
        with self._act(epoch, intent.intended_at) as work:
            instances = work.books.instances
            if intent.instance_id in instances:
                return instances[intent.instance_id]
            if work.books.counted_instances >= fleet_max:
                return None
            instances[intent.instance_id] = intent
        return intent

    async def adopt(self, epoch: int, found: Instance, fleet_max: int, now: Instant) -> Instance:
        """See :meth:`Store.adopt`."""
        with self._act(epoch, now) as work:
            instances = work.books.instances
            known = instances.get(found.instance_id)
            has_place = work.books.counted_instances < fleet_max
            instances[found.instance_id] = instance.adopted(found, known, now, has_place=has_place)
        return instances[found.instance_id]

    async def instance_event(
        self, epoch: int, instance_id: str, event: instance.Event, now: Instant
    ) -> Instance | None:
        """See :meth:`Store.instance_event`."""
        with self._act(epoch, now) as work:
            instances = work.books.instances
            if instance_id not in instances:
                return None
            instances[instance_id] = instance.step(instances[instance_id], event, now)
        return instances[instance_id]

    async def drain_if_idle(self, epoch: int, instance_id: str, reason: str, now: Instant) -> bool:
        """See :meth:`Store.drain_if_idle`."""
        with self._act(epoch, now) as work:
            books = work.books
            known = books.instances.get(instance_id)
            its = [worker for worker in books.workers.values() if worker.facts.instance_id == instance_id]
            if known is None or any(books.leases_of(worker.facts.worker_id) for worker in its):
                return False
            after = instance.step(known, Drained(reason), now)
            if after.state not in (InstanceState.DRAINING, InstanceState.NOTICED):
                return False
            books.instances[instance_id] = after
            for worker in its:
                if worker.state is not WorkerState.LOST:
                    books.workers[worker.facts.worker_id] = replace(worker, state=WorkerState.DRAINING)
        return True
