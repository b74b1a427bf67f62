"""Listing jobs, newest first. A page looks at a bounded number of rows, however many there are.

All jobs of an owner, and the dead and the cancelled among them, lie in an index in the very order of the page. Leased
ones are found through the leases, which are as many as workers hold. The rest is found by walking down the ids, at most
:data:`LOOK_MAX` a page.
"""

from __future__ import annotations

from heapq import nlargest

from sqlalchemy import Connection, bindparam, literal, select

from dynwork.orchestrator.core.job import JobState
from dynwork.orchestrator.store import tables
from dynwork.orchestrator.store.rows import LEASED, SELECT_JOB, ForOwner, in_lists, job_of
from dynwork.orchestrator.store.values import JobsPage

LOOK_MAX = 10_000
"""Ids that one page passes at most: milliseconds, also where nothing is found."""
ABOVE_ALL_IDS, BELOW_ALL_IDS = "ffffffff-ffff-ffff-ffff-ffffffffffff", "00000000-0000-0000-0000-000000000000"
SET_ASIDE = frozenset({JobState.DEAD, JobState.CANCELLED})
"""What the index ``job_set_aside`` has of each owner."""

_j = tables.job.c
_BELOW = _j.job_id < bindparam("before")
_PAGE = SELECT_JOB.where(_BELOW, _j.job_id >= bindparam("floor")).order_by(_j.job_id.desc()).limit(bindparam("limit"))
_PAGES: dict[JobState | None, ForOwner] = {
    state: ForOwner(_PAGE.where(_j.state == literal(state.value, literal_execute=True))) for state in JobState
}
_PAGES[None] = ForOwner(_PAGE)
_FLOOR = ForOwner(select(_j.job_id).where(_BELOW).order_by(_j.job_id.desc()).limit(1).offset(bindparam("passed")))
_LEASED = ForOwner(select(_j.job_id).where(_j.state == LEASED, _BELOW).order_by(_j.worker_id, _j.job_id))
_BY_ID = SELECT_JOB.where(_j.job_id.in_(bindparam("ids", expanding=True)))


def jobs(conn: Connection, owner: str | None, state: JobState | None, before: str | None, limit: int) -> JobsPage:
    """See :meth:`dynwork.orchestrator.store.port.Store.jobs`."""
    below = before or ABOVE_ALL_IDS
    if state is JobState.LEASED:
        return _leased(conn, owner, below, limit)
    in_order = state is None or (owner is not None and state in SET_ASIDE)
    floor = None if in_order else _FLOOR.execute(conn, owner, before=below, passed=LOOK_MAX - 1).scalar()
    rows = _PAGES[state].execute(conn, owner, before=below, floor=floor or BELOW_ALL_IDS, limit=limit + 1)
    found = [job_of(row) for row in rows]
    if len(found) > limit:
        return JobsPage(found[:limit], found[limit - 1].job_id)
    return JobsPage(found, floor)


def _leased(conn: Connection, owner: str | None, below: str, limit: int) -> JobsPage:
    newest = nlargest(limit + 1, _LEASED.execute(conn, owner, before=below).scalars())
    page = newest[:limit]
    found = [job_of(row) for ids in in_lists(page) for row in conn.execute(_BY_ID, {"ids": ids})]
    found.sort(key=lambda job: job.job_id, reverse=True)
    return JobsPage(found, page[-1] if len(newest) > limit else None)
