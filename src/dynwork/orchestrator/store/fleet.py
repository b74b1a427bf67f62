"""The fleet's rows: instances and drains. Every act checks the leader's epoch inside its own transaction."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from dynwork.orchestrator.core import instance as instances
from dynwork.orchestrator.core.instance import Drained, Instance, InstanceState
from dynwork.orchestrator.core.job import Instant
from dynwork.orchestrator.core.worker import WorkerState
from dynwork.orchestrator.store import leadership, tables
from dynwork.orchestrator.store.rows import LEASED, instance_columns, instance_of

_i, _j, _w = tables.instance.c, tables.job.c, tables.worker.c
_ONE = select(*_i).where(_i.instance_id == bindparam("instance_id")).with_for_update()
_COUNTED = select(func.count()).select_from(tables.instance).where(_i.state != "ended", _i.state != "noticed")
_INSERT = insert(tables.instance)
_FORGET = delete(tables.instance).where(_i.state == "ended", _i.ended_at < bindparam("before"))
_UPDATE = (
    update(tables.instance)
    .where(_i.instance_id == bindparam("at"))
    .values({column.name: bindparam(column.name) for column in _i if column.name != "instance_id"})
)
_WORKERS_ON = select(_w.worker_id).where(_w.instance_id == bindparam("instance_id")).order_by(_w.worker_id)
_LOCK_WORKERS_ON = _WORKERS_ON.with_for_update()
_A_LEASE = (
    select(_j.job_id).where(_j.state == LEASED, _j.worker_id.in_(bindparam("worker_ids", expanding=True))).limit(1)
)
_DRAIN_WORKERS = (
    update(tables.worker)
    .where(_w.worker_id.in_(bindparam("worker_ids", expanding=True)), _w.state != WorkerState.LOST.value)
    .values(state=WorkerState.DRAINING.value)
)


def intend(conn: Connection, epoch: int, intent: Instance, fleet_max: int) -> Instance | None:
    """See :meth:`dynwork.orchestrator.store.port.Store.intend`."""
    leadership.check(conn, epoch)
    known = _instance(conn, intent.instance_id)
    if known is not None:
        return known
    if not _has_place(conn, fleet_max):
        return None
    conn.execute(_INSERT, instance_columns(intent))
    return intent


def adopt(conn: Connection, epoch: int, found: Instance, fleet_max: int, now: Instant) -> Instance:
    """See :meth:`dynwork.orchestrator.store.port.Store.adopt`."""
    leadership.check(conn, epoch)
    known = _instance(conn, found.instance_id)
    after = instances.adopted(found, known, now, has_place=known is not None or _has_place(conn, fleet_max))
    if known is None:
        conn.execute(_INSERT, instance_columns(after))
    else:
        _write(conn, after)
    return after


def instance_event(
    conn: Connection, epoch: int, instance_id: str, event: instances.Event, now: Instant
) -> Instance | None:
    """See :meth:`dynwork.orchestrator.store.port.Store.instance_event`."""
    leadership.check(conn, epoch)
    before = _instance(conn, instance_id)
    if before is None:
        return None
    after = instances.step(before, event, now)
    _write(conn, after)
    return after


def drain_if_idle(conn: Connection, epoch: int, instance_id: str, reason: str, now: Instant) -> bool:
    """See :meth:`dynwork.orchestrator.store.port.Store.drain_if_idle`."""
    leadership.check(conn, epoch)
    worker_ids = list(conn.scalars(_LOCK_WORKERS_ON, {"instance_id": instance_id}))
    if worker_ids and conn.scalar(_A_LEASE, {"worker_ids": worker_ids}) is not None:
        return False
    before = _instance(conn, instance_id)
    if before is None:
        return False
    if set(conn.scalars(_WORKERS_ON, {"instance_id": instance_id})) - set(worker_ids):
        return False  # one has registered since the workers were locked, and may have been given work: another time
    after = instances.step(before, Drained(reason), now)
    if after.state not in (InstanceState.DRAINING, InstanceState.NOTICED):
        return False
    _write(conn, after)
    if worker_ids:
        conn.execute(_DRAIN_WORKERS, {"worker_ids": worker_ids})
    return True


def forget(conn: Connection, before: Instant) -> None:
    """Delete the instances that ended before ``before``."""
    conn.execute(_FORGET, {"before": before})


def _has_place(conn: Connection, fleet_max: int) -> bool:
    return (conn.scalar(_COUNTED) or 0) < fleet_max


def _instance(conn: Connection, instance_id: str) -> Instance | None:
    row = conn.execute(_ONE, {"instance_id": instance_id}).one_or_none()
    return None if row is None else instance_of(row)


def _write(conn: Connection, instance: Instance) -> None:
    columns = instance_columns(instance)
    conn.execute(_UPDATE, {"at": columns.pop("instance_id"), **columns})
