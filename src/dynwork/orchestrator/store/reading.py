"""Reads: each is short and bounded, and runs beside the writer in its own snapshot."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, func, select

from dynwork.errors import CursorExpiredError
from dynwork.orchestrator.core.instance import Instance
from dynwork.orchestrator.core.job import Job
from dynwork.orchestrator.core.worker import Worker
from dynwork.orchestrator.store import tables
from dynwork.orchestrator.store.rows import (
    LEASED,
    SELECT_JOB,
    SELECT_WORKER,
    SUCCEEDED,
    ForOwner,
    instance_of,
    job_of,
    worker_of,
)
from dynwork.orchestrator.store.values import Ended, FeedPage, Tail

_j = tables.job.c
_JOB = ForOwner(SELECT_JOB.where(_j.job_id == bindparam("job_id")))
_NEWEST = ForOwner(
    SELECT_JOB.where(_j.position.is_not(None), _j.state == SUCCEEDED)
    .order_by(_j.position.desc())
    .limit(bindparam("top"))
)
_AFTER = (_j.position.is_not(None), _j.position > bindparam("after"))
_FEED = ForOwner(SELECT_JOB.where(*_AFTER).order_by(_j.position).limit(bindparam("limit")))
_TAIL = select(_j.job_id, _j.owner, _j.position).where(*_AFTER).order_by(_j.position).limit(bindparam("limit"))
_POSITIONS = select(tables.cluster.c.position, tables.cluster.c.retired_position)
_LEASES = (
    select(_j.worker_id, func.count().label("leases"))
    .where(_j.state == LEASED, _j.worker_id.is_not(None))
    .group_by(_j.worker_id)
)
_WORKERS = SELECT_WORKER.order_by(tables.worker.c.worker_id)
_i = tables.instance.c
_INSTANCES = select(*_i).where(_i.state != "ended").order_by(_i.intended_at, _i.instance_id)


def job(conn: Connection, owner: str | None, job_id: str) -> Job | None:
    """See :meth:`dynwork.orchestrator.store.port.Store.job`."""
    row = _JOB.execute(conn, owner, job_id=job_id).one_or_none()
    return None if row is None else job_of(row)


def newest_succeeded(conn: Connection, owner: str | None, top: int) -> Sequence[Job]:
    """See :meth:`dynwork.orchestrator.store.port.Store.newest_succeeded`."""
    return [job_of(row) for row in _NEWEST.execute(conn, owner, top=top)]


def feed(conn: Connection, owner: str | None, after: int | None, limit: int) -> FeedPage:
    """See :meth:`dynwork.orchestrator.store.port.Store.feed`."""
    newest, retired = _positions(conn, after)
    since = retired if after is None else after
    jobs = [job_of(row) for row in _FEED.execute(conn, owner, after=since, limit=limit)]
    full = len(jobs) == limit
    return FeedPage(jobs, jobs[-1].position or 0 if full else newest)


def tail(conn: Connection, after: int | None, limit: int) -> Tail:
    """See :meth:`dynwork.orchestrator.store.port.Store.tail`."""
    newest, _ = _positions(conn, after)
    rows = [] if after is None else conn.execute(_TAIL, {"after": after, "limit": limit}).all()
    return Tail([Ended(row.job_id, row.owner) for row in rows], rows[-1].position if len(rows) == limit else newest)


def _positions(conn: Connection, after: int | None) -> tuple[int, int]:
    """Return the newest position of the feed and the last that was deleted, if ``after`` is between the two."""
    newest, retired = conn.execute(_POSITIONS).one()
    if after is not None and after < retired:
        raise CursorExpiredError("results after this cursor are no longer kept; start again without a cursor")
    if after is not None and after > newest:
        raise CursorExpiredError("results do not reach as far as this cursor; start again without a cursor")
    return newest, retired


def workers(conn: Connection) -> Sequence[Worker]:
    """See :meth:`dynwork.orchestrator.store.port.Store.workers`."""
    leases: dict[str, int] = {row.worker_id: row.leases for row in conn.execute(_LEASES)}
    return [worker_of(row, leases.get(row.worker_id, 0)) for row in conn.execute(_WORKERS)]


def instances(conn: Connection) -> Sequence[Instance]:
    """See :meth:`dynwork.orchestrator.store.port.Store.instances`."""
    return [instance_of(row) for row in conn.execute(_INSTANCES)]
