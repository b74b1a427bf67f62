"""The orchestrators that live: each writes its own row again and again, and reads who else is there."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from dynwork.orchestrator.core.job import Instant
from dynwork.orchestrator.store import tables

_o = tables.orchestrator.c
_RENEW = (
    update(tables.orchestrator)
    .where(_o.url == bindparam("at"))
    .values(holder=bindparam("holder"), until=bindparam("until"))
)
_NEW = insert(tables.orchestrator)
_LIVING = select(_o.url).where(_o.until >= bindparam("now")).order_by(_o.url)
_KNOWN = select(_o.url)
_END = delete(tables.orchestrator).where(_o.holder == bindparam("holder"))
_FORGET = delete(tables.orchestrator).where(_o.until < bindparam("before"))


def register(conn: Connection, url: str, holder: str, now: Instant, ttl_s: float) -> Sequence[str]:
    """See :meth:`dynwork.orchestrator.store.port.Store.register`."""
    until = now + ttl_s
    if conn.execute(_RENEW, {"at": url, "holder": holder, "until": until}).rowcount == 0:
        conn.execute(_NEW, {"url": url, "holder": holder, "until": until})
    return sorted(conn.scalars(_LIVING, {"now": now}))


def deregister(conn: Connection, holder: str) -> None:
    """See :meth:`dynwork.orchestrator.store.port.Store.deregister`."""
    conn.execute(_END, {"holder": holder})


def known(conn: Connection) -> frozenset[str]:
    """Return the urls of all that live or did so lately."""
    return frozenset(conn.scalars(_KNOWN))


def forget(conn: Connection, before: Instant) -> None:
    """Forget those whose registration ended before ``before``."""
    conn.execute(_FORGET, {"before": before})
