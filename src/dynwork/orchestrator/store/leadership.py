"""Who leads: one row, made when the store is created, with a holder, an epoch and a deadline.

The epoch alone fences: whoever is next raises it under the row's lock, and every act of a leader looks at it under that
lock, first of all. So an act that was planned under a past leadership changes nothing, however late it comes.
"""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, select, update

from dynwork.errors import StaleLeaderError
from dynwork.orchestrator.core.job import Instant
from dynwork.orchestrator.store import tables
from dynwork.orchestrator.store.values import Leadership

_l = tables.leadership.c
_LAST = select(*_l)
_LEADER = select(*_l).with_for_update()
_EPOCH = select(_l.epoch).with_for_update()
_LEAD = update(tables.leadership).values(
    holder=bindparam("holder"), epoch=bindparam("new_epoch"), until=bindparam("until"), decision=bindparam("decision")
)


def leadership(conn: Connection) -> Leadership | None:
    """See :meth:`dynwork.orchestrator.store.port.Store.leadership`."""
    row = conn.execute(_LAST).one()
    return Leadership(row.holder, row.epoch, row.until, row.decision) if row.epoch else None


def lead(conn: Connection, holder: str, now: Instant, ttl_s: float, decision: str | None = None) -> int | None:
    """See :meth:`dynwork.orchestrator.store.port.Store.lead`."""
    leader = conn.execute(_LEADER).one()
    if leader.holder != holder and leader.until > now:
        return None
    epoch: int = leader.epoch if leader.holder == holder else leader.epoch + 1
    conn.execute(_LEAD, {"holder": holder, "new_epoch": epoch, "until": now + ttl_s, "decision": decision})
    return epoch


def check(conn: Connection, epoch: int) -> None:
    """Raise ``StaleLeaderError`` unless ``epoch`` is the leadership's; until the transaction ends nobody takes over."""
    if epoch < 1 or conn.scalar(_EPOCH) != epoch:
        raise StaleLeaderError(f"the leadership of epoch {epoch} has passed to another")
