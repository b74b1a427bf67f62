"""Bring a database to the newest schema, at start, in one transaction."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, insert, select

from dynwork.orchestrator.store import tables


def migrate(conn: Connection, cluster_id: str) -> str:
    """Migrate to the newest schema; return the id of the cluster, which is ``cluster_id`` if the store is new."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = conn
    command.upgrade(config, "head")
    existing = conn.scalar(select(tables.cluster.c.cluster_id))
    if existing is not None:
        return str(existing)
    conn.execute(insert(tables.cluster).values(one=True, cluster_id=cluster_id, position=0, retired_position=0))
    conn.execute(insert(tables.leadership).values(one=True, holder="", epoch=0, until=0.0))
    return cluster_id
