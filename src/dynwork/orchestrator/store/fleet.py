"""The fleet's rows: leadership, instances, drains. Every act checks the leader's epoch inside its own transaction."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, func, insert, select, update

from dynwork.errors import StaleLeaderError
from dynwork.orchestrator.core import instance as instances
from dynwork.orchestrator.core.instance import Drained, Instance, InstanceState
from dynwork.orchestrator.core.job import Instant
from dynwork.orchestrator.core.worker import WorkerState
from dynwork.orchestrator.store import tables
from dynwork.orchestrator.store.rows import LEASED, instance_columns, instance_of

_i, _j, _l, _w = tables.instance.c, tables.job.c, tables.leadership.c, tables.worker.c
_LEADER = select(*_l).with_for_update()
_NEW_LEADER = insert(tables.leadership)
_LEAD = update(tables.leadership).values(
    holder=bindparam("holder"), epoch=bindparam("new_epoch"), until=bindparam("until")
)
_ONE = select(*_i).where(_i.instance_id == bindparam("instance_id")).with_for_update()
_LIVING = select(func.count()).select_from(tables.instance).where(_i.state != "ended")
_INSERT = insert(tables.instance)
_UPDATE = (
    update(tables.instance)
    .where(_i.instance_id == bindparam("at"))
    .values({column.name: bindparam(column.name) for column in _i if column.name != "instance_id"})
)
_WORKERS_ON = (
    select(_w.worker_id).where(_w.instance_id == bindparam("instance_id")).order_by(_w.worker_id).with_for_update()
)
_A_LEASE = (
    select(_j.job_id).where(_j.state == LEASED, _j.worker_id.in_(bindparam("worker_ids", expanding=True))).limit(1)
)
_DRAIN_WORKERS = (
    update(tables.worker)
    .where(_w.worker_id.in_(bindparam("worker_ids", expanding=True)), _w.state != WorkerState.LOST.value)
    .values(state=WorkerState.DRAINING.value)
)


def lead(conn: Connection, holder: str, now: Instant, ttl_s: float) -> int | None:
    """See :meth:`dynwork.orchestrator.store.port.Store.lead`."""
    leader = conn.execute(_LEADER).one_or_none()
    if leader is None:
        conn.execute(_NEW_LEADER, {"one": True, "holder": holder, "epoch": 1, "until": now + ttl_s})
        return 1
    if leader.holder != holder and leader.until > now:
        return None
    epoch: int = leader.epoch if leader.holder == holder else leader.epoch + 1
    conn.execute(_LEAD, {"holder": holder, "new_epoch": epoch, "until": now + ttl_s})
    return epoch


def intend(conn: Connection, epoch: int, instance_id: str, fleet_max: int, now: Instant) -> Instance | None:
    """See :meth:`dynwork.orchestrator.store.port.Store.intend`."""
    _check_epoch(conn, epoch)
    known = _instance(conn, instance_id)
    if known is not None:
        return known
    if (conn.scalar(_LIVING) or 0) >= fleet_max:
        return None
    intent = Instance(instance_id, InstanceState.INTENDED, now)
    conn.execute(_INSERT, instance_columns(intent))
    return intent


def instance_event(
    conn: Connection, epoch: int, instance_id: str, event: instances.Event, now: Instant
) -> Instance | None:
    """See :meth:`dynwork.orchestrator.store.port.Store.instance_event`."""
    _check_epoch(conn, epoch)
    before = _instance(conn, instance_id)
    if before is None:
        return None
    after = instances.step(before, event, now)
    _write(conn, after)
    return after


def drain_if_idle(conn: Connection, epoch: int, instance_id: str, reason: str, now: Instant) -> bool:
    """See :meth:`dynwork.orchestrator.store.port.Store.drain_if_idle`."""
    _check_epoch(conn, epoch)
    worker_ids = list(conn.scalars(_WORKERS_ON, {"instance_id": instance_id}))
    if worker_ids and conn.scalar(_A_LEASE, {"worker_ids": worker_ids}) is not None:
        return False
    before = _instance(conn, instance_id)
    if before is None:
        return False
    after = instances.step(before, Drained(reason), now)
    if after.state is not InstanceState.DRAINING:
        return False
    _write(conn, after)
    if worker_ids:
        conn.execute(_DRAIN_WORKERS, {"worker_ids": worker_ids})
    return True


def _check_epoch(conn: Connection, epoch: int) -> None:
    """The epoch alone fences: whoever is next raises it, under this row's lock."""
    leader = conn.execute(_LEADER).one_or_none()
    if leader is None or leader.epoch != epoch:
        raise StaleLeaderError(f"the leadership of epoch {epoch} has passed to another")


def _instance(conn: Connection, instance_id: str) -> Instance | None:
    row = conn.execute(_ONE, {"instance_id": instance_id}).one_or_none()
    return None if row is None else instance_of(row)


def _write(conn: Connection, instance: Instance) -> None:
    columns = instance_columns(instance)
    conn.execute(_UPDATE, {"at": columns.pop("instance_id"), **columns})
