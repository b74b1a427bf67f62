"""The totals as rows: one a writer and kind, to which each transaction adds what it changes.

A row belongs to one writer, so that orchestrators never wait for each other here; the leader takes over the rows of
those that are gone. So there are as many rows as writers times the kinds that were ever submitted: few enough to be
summed at each round.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from dynwork.orchestrator.core.backlog import Backlog
from dynwork.orchestrator.store import tables
from dynwork.orchestrator.store.values import Totals

Changes = Mapping[str, float]
"""By how much each column rises; one that is not named stays."""

_t = tables.tally.c
_COUNTED = [column for column in _t if column.name not in ("shard", "kind")]
_ADD = (
    update(tables.tally)
    .where(_t.shard == bindparam("of_shard"), _t.kind == bindparam("of_kind"))
    .values({column.name: column + bindparam(f"add_{column.name}") for column in _COUNTED})
)
_NEW = insert(tables.tally)
_BY_KIND = select(_t.kind, *(func.sum(column).label(column.name) for column in _COUNTED)).group_by(_t.kind)
_SHARDS = select(_t.shard).distinct()
_ROWS = select(*_t).where(_t.shard == bindparam("of_shard")).order_by(_t.kind).with_for_update()
_DELETE = delete(tables.tally).where(_t.shard == bindparam("of_shard"), _t.kind == bindparam("of_kind"))
_QUEUED = select(func.coalesce(func.sum(_t.queued), 0))


def add(conn: Connection, shard: str, changes: Mapping[str, Changes]) -> None:
    """Add ``changes``, by kind, to the rows of ``shard``: nobody else writes them."""
    for kind, change in sorted(changes.items()):
        if not any(change.values()):
            continue
        rise = {column.name: change.get(column.name, 0) for column in _COUNTED}
        added = {f"add_{name}": value for name, value in rise.items()}
        if conn.execute(_ADD, {"of_shard": shard, "of_kind": kind, **added}).rowcount == 0:
            conn.execute(_NEW, {"shard": shard, "kind": kind, **rise})


def fold(conn: Connection, shard: str, living: Collection[str]) -> None:
    """Add the rows of shards that are not ``living`` to ``shard`` and delete them: the sums stay.

    A writer that was thought dead adds to a row of its own again, which is then new. Only rows that were read (and so
    locked) are deleted: it may make one of another kind meanwhile.
    """
    gone = sorted(set(conn.scalars(_SHARDS)) - set(living) - {shard})
    taken: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in gone:
        for row in conn.execute(_ROWS, {"of_shard": one}):
            taken[row.kind].update({column.name: getattr(row, column.name) for column in _COUNTED})
            conn.execute(_DELETE, {"of_shard": one, "of_kind": row.kind})
    add(conn, shard, taken)


def queued(conn: Connection) -> int:
    """Return how many jobs are queued."""
    return int(conn.execute(_QUEUED).scalar_one())


def totals(conn: Connection) -> Totals:
    """See :meth:`dynwork.orchestrator.store.port.Store.totals`."""
    rows = conn.execute(_BY_KIND).all()
    counts = ("queued", "leased", "succeeded", "dead", "cancelled", "submitted", "completed")
    return Totals(
        **{name: sum(int(getattr(row, name)) for row in rows) for name in counts},
        backlog={
            row.kind: Backlog(int(row.queued), float(row.backlog_steps))
            for row in rows
            if row.queued + row.leased > 0  # nobody has work left: sums of floats may leave a crumb
        },
    )
