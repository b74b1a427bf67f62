"""What happens by the passing of time: leases expire, results are retired, lost workers are forgotten."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace

from sqlalchemy import bindparam, delete, exists, or_, select, update

from dynwork.orchestrator.core import machine
from dynwork.orchestrator.core.job import Instant
from dynwork.orchestrator.core.worker import WorkerState
from dynwork.orchestrator.store import fleet, leadership, registry, tables, tally
from dynwork.orchestrator.store.batch import Batch
from dynwork.orchestrator.store.rows import LEASED, in_lists
from dynwork.orchestrator.store.values import Swept

_j, _w = tables.job.c, tables.worker.c

_HAS_A_LEASE = exists().where(_j.state == LEASED, _j.worker_id == _w.worker_id)
_SILENT = select(_w.worker_id).where(
    _w.lease_until < bindparam("now"), or_(_w.state != WorkerState.LOST.value, _HAS_A_LEASE)
)
_OLDEST = (
    select(_j.job_id, _j.kind, _j.state, _j.completed_at, _j.position)
    .where(_j.position.is_not(None))
    .order_by(_j.position)
    .limit(bindparam("most"))
)
_DELETE = delete(tables.job).where(_j.job_id.in_(bindparam("ids", expanding=True)))
_RETIRED = update(tables.cluster).values(retired_position=bindparam("newest"))
_GONE = select(_w.worker_id).where(
    _w.state == WorkerState.LOST.value,
    _w.last_seen_at < bindparam("before"),
    ~_HAS_A_LEASE,
)
_FORGET = delete(tables.worker).where(_w.worker_id.in_(bindparam("ids", expanding=True)))


def expire(batch: Batch, epoch: int, limit: int) -> Swept:
    """Expire the leases of workers that have been silent for too long."""
    leadership.check(batch.conn, epoch)
    batch.lock_workers(batch.conn.scalars(_SILENT, {"now": batch.now}))
    late = [worker_id for worker_id, worker in batch.workers.items() if worker.lease_until < batch.now]
    swept = _lose(batch, late, limit)
    return replace(swept, more=swept.expired == limit)


def worker_gone(batch: Batch, worker_id: str) -> Swept:
    """Expire the leases of a worker that is known to be dead."""
    batch.lock_workers([worker_id])
    return _lose(batch, list(batch.workers), None)


def _lose(batch: Batch, worker_ids: list[str], limit: int | None) -> Swept:
    """Give the workers up for lost and expire at most ``limit`` of their leases, in order of job id."""
    lost = sorted(worker_id for worker_id in worker_ids if batch.workers[worker_id].state is not WorkerState.LOST)
    for worker_id in lost:
        batch.put_worker(replace(batch.workers[worker_id], state=WorkerState.LOST))
    batch.lock_jobs(batch.leased_to(worker_ids, limit))
    leases = sorted(job_id for worker_id in worker_ids for job_id in batch.leases[worker_id])
    for job_id in leases:
        batch.step(job_id, machine.Expired())
    batch.close()
    return Swept(len(leases), batch.claimable, len(batch.ended), tuple(lost))


def retire(batch: Batch, epoch: int, before: Instant, limit: int) -> int:
    """Delete ended jobs, oldest feed position first, up to the first that is to be kept."""
    leadership.check(batch.conn, epoch)
    old = []
    for row in batch.conn.execute(_OLDEST, {"most": limit}):
        if row.completed_at >= before:
            break
        old.append(row)
    if not old:
        return 0
    batch.lock_jobs(row.job_id for row in old)
    gone: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in old:
        gone[row.kind][row.state] -= 1
    tally.add(batch.conn, batch.shard, gone)
    batch.conn.execute(_RETIRED, {"newest": old[-1].position})
    # Last: who submits such a key again waits for its deletion, perhaps with the cluster's row in hand.
    for ids in in_lists(row.job_id for row in old):
        batch.conn.execute(_DELETE, {"ids": ids})
    return len(old)


def forget(batch: Batch, epoch: int, before: Instant) -> int:
    """Delete lost workers last seen before ``before``, orchestrators registered until then, machines ended by then."""
    leadership.check(batch.conn, epoch)
    batch.lock_workers(batch.conn.scalars(_GONE, {"before": before}))
    gone = [
        worker_id
        for worker_id, worker in batch.workers.items()
        if worker.state is WorkerState.LOST and worker.last_seen_at < before
    ]
    for ids in in_lists(gone):
        batch.conn.execute(_FORGET, {"ids": ids})
    registry.forget(batch.conn, before)
    fleet.forget(batch.conn, before)
    tally.fold(batch.conn, batch.shard, registry.known(batch.conn))
    return len(gone)
