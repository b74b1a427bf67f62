"""Every invariant that can be seen in the rows, looked at over one snapshot.

What the engine enforces by itself (unique ids, keys and positions, known states) is not asked again.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import ColumnElement, Connection, Double, String, and_, cast, exists, func, or_, select

from dynwork.orchestrator.core.job import TERMINAL, JobState
from dynwork.orchestrator.store import tables
from dynwork.orchestrator.store.migrate import is_migrated

_j, _w, _t = tables.job.c, tables.worker.c, tables.tally.c
_before = tables.job.alias("before").c
_ENDED = _j.state.in_(sorted(TERMINAL))

_WRONG: dict[str, ColumnElement[bool]] = {
    "are leased to nobody, or under a lease that has ended": and_(
        _j.state == JobState.LEASED,
        or_(_j.worker_id.is_(None), _j.incarnation.is_(None), _j.epoch < 1, _j.lease_end.is_not(None)),
    ),
    "are leased to a worker that is not known": and_(
        _j.state == JobState.LEASED, ~exists().where(_w.worker_id == _j.worker_id)
    ),
    "succeeded before their last step": and_(_j.state == JobState.SUCCEEDED, _j.done != _j.total),
    "are dead without a reason": and_(_j.state == JobState.DEAD, _j.error_code.is_(None)),
    "have done fewer steps than at their start": _j.done < _j.start_done,
    "have ended without a time, or have a time without having ended": _j.completed_at.is_(None) == _ENDED,
    "take the place of a job that is not dead": exists().where(
        _before.job_id == _j.requeued_from, _before.state != JobState.DEAD, _before.created_at < _j.created_at
    ),
    "have an owner or a key that no client can name": or_(_j.owner == "", _j.key == ""),
}
"""What no job may be: the sentence goes on after "N jobs"."""

_COUNTS = ("queued", "leased", "succeeded", "dead", "cancelled")
_POSITIONS = select(tables.cluster.c.position, tables.cluster.c.retired_position)
_KEPT_POSITIONS = select(func.count(), func.min(_j.position), func.max(_j.position)).where(_j.position.is_not(None))
_COUNTED = select(
    _j.kind, _j.state, func.count().label("jobs"), func.sum(cast(_j.total - _j.done, Double)).label("steps")
).group_by(_j.kind, _j.state)
_KEPT = select(
    _t.kind, *(func.sum(column).label(column.name) for column in _t if column.name not in ("shard", "kind"))
).group_by(_t.kind)

CRUMB_STEPS = 1e9
"""What a sum of floats may be off after millions of additions, steps: about a minute of one core."""


def broken(conn: Connection) -> list[str]:
    """Return a sentence for each invariant that does not hold; see :meth:`Store.check`."""
    if not is_migrated(conn):
        return ["the schema is not there, or older than this release: dynwork migrate brings it up to date"]
    return [*_jobs(conn), *_feed(conn), *_totals(conn)]


def _jobs(conn: Connection) -> Iterator[str]:
    for what, wrong in _WRONG.items():
        jobs, example = conn.execute(select(func.count(), func.min(cast(_j.job_id, String))).where(wrong)).one()
        if jobs:
            yield f"{jobs} jobs {what}, e.g. {example}"


def _feed(conn: Connection) -> Iterator[str]:
    newest, retired = conn.execute(_POSITIONS).one()
    count, lowest, highest = conn.execute(_KEPT_POSITIONS).one()
    if count != newest - retired or (count and (lowest, highest) != (retired + 1, newest)):
        yield (
            f"the feed should have every position from {retired + 1} to {newest}; it has {count},"
            f" from {lowest} to {highest}"
        )


def _totals(conn: Connection) -> Iterator[str]:
    counted = {(row.kind, row.state): row for row in conn.execute(_COUNTED)}
    kept = {row.kind: row for row in conn.execute(_KEPT)}
    for kind in sorted({kind for kind, _ in counted} | kept.keys()):
        for state in _COUNTS:
            said = int(getattr(kept[kind], state)) if kind in kept else 0
            jobs = counted[kind, state].jobs if (kind, state) in counted else 0
            if said != jobs:
                yield f"the totals say that {said} jobs of {kind} are {state}; there are {jobs}"
        steps = sum(float(counted[kind, state].steps) for state in ("queued", "leased") if (kind, state) in counted)
        said_steps = float(kept[kind].backlog_steps) if kind in kept else 0.0
        if abs(said_steps - steps) > max(1e-6 * steps, CRUMB_STEPS):
            yield f"the totals say that {said_steps:.0f} steps of {kind} are ahead; there are {steps:.0f}"
    retired = conn.execute(_POSITIONS).one().retired_position
    submitted = sum(int(row.submitted) for row in kept.values())
    ever = sum(int(row.jobs) for row in counted.values()) + retired
    if submitted != ever:
        yield f"the totals say that {submitted} jobs were submitted; {ever} are kept or were retired"
