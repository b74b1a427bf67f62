"""The schema, for every engine. Migrations make it; a test proves the two equal.

``job`` holds one row a job for its whole life. Its partial indexes are the queues: claims, a worker's leases and the
results feed are each one range scan, whose cost does not depend on how many other rows there are. Lists of an owner's
jobs have indexes of their own for what is rare among many; a dead job has one successor at most.

Times are seconds since the epoch (double), work is in steps (64-bit), chain states are raw bytes.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects import postgresql

metadata = MetaData()

JobId = String(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")

JOB_STORAGE = {
    "fillfactor": 85,
    "autovacuum_vacuum_scale_factor": 0,
    "autovacuum_vacuum_threshold": 20_000,
    "vacuum_index_cleanup": "on",
}
"""PostgreSQL: room in each page for a checkpoint beside its row; and cleaning after so many changes, however large the
table is, its indexes included: what was claimed lies at the front of the queue until then."""

job = Table(
    "job",
    metadata,
    Column("job_id", JobId, nullable=False),
    Column("owner", String(64), nullable=False),
    Column("key", String(256)),
    Column("fingerprint", String(64), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("start_state", LargeBinary, nullable=False),
    Column("start_done", BigInteger, nullable=False),
    Column("chain_state", LargeBinary, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("not_before", Double, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("worker_id", String(64)),
    Column("incarnation", String(64)),
    Column("lease_end", String(16)),
    Column("attempts", Integer, nullable=False),
    Column("losses", Integer, nullable=False),
    Column("started_at", Double),
    Column("completed_at", Double),
    Column("error_code", String(64)),
    Column("error_detail", Text),
    Column("requeued_from", JobId),
    Column("position", BigInteger),
    PrimaryKeyConstraint("job_id", name="job_pk"),
    CheckConstraint("done >= 0 AND done <= total", name="job_done_within_total"),
    CheckConstraint("state IN ('queued', 'leased', 'succeeded', 'dead', 'cancelled')", name="job_state_known"),
    CheckConstraint(
        "(position IS NULL) = (state IN ('queued', 'leased'))",
        name="job_position_when_ended",
    ),
    postgresql_with=JOB_STORAGE,
)


def _partial(name: str, where: str, *columns: Column[object], unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))


_c = job.c
# Partial, though every job has an owner: else PostgreSQL 18, for an empty table, plans look-ups by id alone over it.
Index("job_owner", _c.owner, _c.job_id, postgresql_where=text("owner IS NOT NULL"))
_partial("job_set_aside", "state = 'dead' OR state = 'cancelled'", _c.owner, _c.state, _c.job_id)
_partial("job_requeued", "requeued_from IS NOT NULL", _c.requeued_from, unique=True)
_partial("job_key", "key IS NOT NULL", _c.owner, _c.key, unique=True)
_partial("job_claim", "state = 'queued'", _c.kind, _c.priority, _c.not_before, _c.job_id)
_partial("job_leases", "state = 'leased'", _c.worker_id, _c.job_id)
_partial("job_feed", "position IS NOT NULL", _c.owner, _c.position)
_partial("job_position", "position IS NOT NULL", _c.position, unique=True)

worker = Table(
    "worker",
    metadata,
    Column("worker_id", String(64), nullable=False),
    Column("incarnation", String(64), nullable=False),
    Column("paces", JSON, nullable=False),
    Column("kinds", Text, nullable=False),
    Column("instance_id", String(64)),
    Column("host", String(255)),
    Column("pid", BigInteger),
    Column("path", String(64)),
    Column("started_at", Double),
    Column("notice", String(64)),
    Column("state", String(16), nullable=False),
    Column("lease_until", Double, nullable=False),
    Column("last_seen_at", Double, nullable=False),
    Column("busy_at", Double, nullable=False),
    PrimaryKeyConstraint("worker_id", name="worker_pk"),
    Index("worker_lease_until", "lease_until"),
    Index("worker_instance", "instance_id"),
)

instance = Table(
    "instance",
    metadata,
    Column("instance_id", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("intended_at", Double, nullable=False),
    Column("provider_id", String(255)),
    Column("launched_at", Double),
    Column("ended_at", Double),
    Column("reason", Text),
    Column("placement", Text),
    PrimaryKeyConstraint("instance_id", name="instance_pk"),
)
_partial("instance_living", "state <> 'ended'", instance.c.intended_at)
_partial("instance_ended", "state = 'ended'", instance.c.ended_at)

cluster = Table(
    "cluster",
    metadata,
    Column("one", Boolean, nullable=False),
    Column("cluster_id", String(36), nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("retired_position", BigInteger, nullable=False),
    PrimaryKeyConstraint("one", name="cluster_pk"),
    CheckConstraint("one", name="cluster_is_one_row"),
)
"""One row. ``position`` is the feed's counter, locked last in a transaction; ``retired_position`` the last deleted."""

tally = Table(
    "tally",
    metadata,
    Column("shard", String(255), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("queued", BigInteger, nullable=False),
    Column("leased", BigInteger, nullable=False),
    Column("succeeded", BigInteger, nullable=False),
    Column("dead", BigInteger, nullable=False),
    Column("cancelled", BigInteger, nullable=False),
    Column("backlog_steps", Double, nullable=False),
    Column("submitted", BigInteger, nullable=False),
    Column("completed", BigInteger, nullable=False),
    PrimaryKeyConstraint("shard", "kind", name="tally_pk"),
)
"""The totals, one row per writing orchestrator and kind: each adds its own differences, the sum is the truth."""

orchestrator = Table(
    "orchestrator",
    metadata,
    Column("url", String(255), nullable=False),
    Column("holder", String(255), nullable=False),
    Column("until", Double, nullable=False),
    PrimaryKeyConstraint("url", name="orchestrator_pk"),
)

leadership = Table(
    "leadership",
    metadata,
    Column("one", Boolean, nullable=False),
    Column("holder", String(255), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("until", Double, nullable=False),
    Column("decision", Text),
    PrimaryKeyConstraint("one", name="leadership_pk"),
    CheckConstraint("one", name="leadership_is_one_row"),
)
