"""Bring a database to the newest schema, at start, in one transaction.

Orchestrators of two releases run side by side while one replaces the other, so a migration only *expands*: the release
before goes on to work with what it makes. What is no longer needed is dropped by a later release, once nobody uses it.
So an orchestrator that finds a schema newer than its own leaves it alone and serves.

On PostgreSQL one at a time migrates. Who finds nothing to do takes no lock and needs no right to change the schema.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, insert, select

from dynwork.orchestrator.store import tables

MIGRATION_LOCK = 0x64796E776F726B
"""Names the advisory lock among those of other programs in the same database: "dynwork"."""


def migrate(conn: Connection, cluster_id: str) -> str:
    """Migrate to the newest schema; return the id of the cluster, which is ``cluster_id`` if the store is new."""
    config = _config()
    config.attributes["connection"] = conn
    newest = _newest(config)
    if _revision(conn) < newest:
        if conn.dialect.name == "postgresql":
            conn.execute(select(func.pg_advisory_xact_lock(MIGRATION_LOCK)))
        if _revision(conn) < newest:  # another may have done it while this one waited
            _upgrade(conn, config, cluster_id)
    return str(conn.execute(select(tables.cluster.c.cluster_id)).scalar_one())


def is_migrated(conn: Connection) -> bool:
    """Say whether the schema is this release's, or a later one's."""
    return _revision(conn) >= _newest(_config())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _newest(config: Config) -> str:
    return ScriptDirectory.from_config(config).get_current_head() or ""


def _revision(conn: Connection) -> str:
    """Return the revision of the schema: revisions are numbers of one length, so the later is the greater."""
    return MigrationContext.configure(conn).get_current_revision() or ""


def _upgrade(conn: Connection, config: Config, cluster_id: str) -> None:
    command.upgrade(config, "head")
    if conn.scalar(select(tables.cluster.c.cluster_id)) is None:
        conn.execute(insert(tables.cluster).values(one=True, cluster_id=cluster_id, position=0, retired_position=0))
        conn.execute(insert(tables.leadership).values(one=True, holder="", epoch=0, until=0.0))
