"""The first schema."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

JOB_ID = sa.String(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")


def upgrade() -> None:
    op.create_table(
        "job",
        sa.Column("job_id", JOB_ID, nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("key", sa.String(256)),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("priority", sa.SmallInteger, nullable=False),
        sa.Column("start_state", sa.LargeBinary, nullable=False),
        sa.Column("start_done", sa.BigInteger, nullable=False),
        sa.Column("chain_state", sa.LargeBinary, nullable=False),
        sa.Column("done", sa.BigInteger, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("not_before", sa.Double, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("worker_id", sa.String(64)),
        sa.Column("incarnation", sa.String(64)),
        sa.Column("lease_end", sa.String(16)),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("losses", sa.Integer, nullable=False),
        sa.Column("started_at", sa.Double),
        sa.Column("completed_at", sa.Double),
        sa.Column("error_code", sa.String(64)),
        sa.Column("error_detail", sa.Text),
        sa.Column("requeued_from", JOB_ID),
        sa.Column("position", sa.BigInteger),
        sa.PrimaryKeyConstraint("job_id", name="job_pk"),
        sa.CheckConstraint("done >= 0 AND done <= total", name="job_done_within_total"),
        sa.CheckConstraint("state IN ('queued', 'leased', 'succeeded', 'dead', 'cancelled')", name="job_state_known"),
        sa.CheckConstraint("(position IS NULL) = (state IN ('queued', 'leased'))", name="job_position_when_ended"),
        postgresql_with={
            "fillfactor": 85,
            "autovacuum_vacuum_scale_factor": 0,
            "autovacuum_vacuum_threshold": 20_000,
            "vacuum_index_cleanup": "on",
        },
    )
    _partial_index("job_key", "job", ["owner", "key"], "key IS NOT NULL", unique=True)
    _partial_index("job_claim", "job", ["kind", "priority", "not_before", "job_id"], "state = 'queued'")
    _partial_index("job_leases", "job", ["worker_id", "job_id"], "state = 'leased'")
    _partial_index("job_feed", "job", ["owner", "position"], "position IS NOT NULL")
    _partial_index("job_position", "job", ["position"], "position IS NOT NULL", unique=True)
    op.create_table(
        "worker",
        sa.Column("worker_id", sa.String(64), nullable=False),
        sa.Column("incarnation", sa.String(64), nullable=False),
        sa.Column("paces", sa.JSON, nullable=False),
        sa.Column("kinds", sa.Text, nullable=False),
        sa.Column("instance_id", sa.String(64)),
        sa.Column("host", sa.String(255)),
        sa.Column("pid", sa.BigInteger),
        sa.Column("path", sa.String(64)),
        sa.Column("started_at", sa.Double),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("lease_until", sa.Double, nullable=False),
        sa.Column("last_seen_at", sa.Double, nullable=False),
        sa.Column("busy_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("worker_id", name="worker_pk"),
    )
    op.create_index("worker_lease_until", "worker", ["lease_until"])
    op.create_index("worker_instance", "worker", ["instance_id"])
    op.create_table(
        "instance",
        sa.Column("instance_id", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("intended_at", sa.Double, nullable=False),
        sa.Column("provider_id", sa.String(255)),
        sa.Column("launched_at", sa.Double),
        sa.Column("ended_at", sa.Double),
        sa.Column("reason", sa.Text),
        sa.PrimaryKeyConstraint("instance_id", name="instance_pk"),
    )
    _partial_index("instance_living", "instance", ["intended_at"], "state <> 'ended'")
    op.create_table(
        "cluster",
        sa.Column("one", sa.Boolean, nullable=False),
        sa.Column("cluster_id", sa.String(36), nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("retired_position", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("one", name="cluster_pk"),
        sa.CheckConstraint("one", name="cluster_is_one_row"),
    )
    counts = ("queued", "leased", "succeeded", "dead", "cancelled")
    op.create_table(
        "tally",
        sa.Column("shard", sa.String(255), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in counts),
        sa.Column("backlog_steps", sa.Double, nullable=False),
        sa.Column("submitted", sa.BigInteger, nullable=False),
        sa.Column("completed", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("shard", "kind", name="tally_pk"),
    )
    op.create_table(
        "orchestrator",
        sa.Column("url", sa.String(255), nullable=False),
        sa.Column("holder", sa.String(255), nullable=False),
        sa.Column("until", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("url", name="orchestrator_pk"),
    )
    op.create_table(
        "leadership",
        sa.Column("one", sa.Boolean, nullable=False),
        sa.Column("holder", sa.String(255), nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("until", sa.Double, nullable=False),
        sa.Column("decision", sa.Text),
        sa.PrimaryKeyConstraint("one", name="leadership_pk"),
        sa.CheckConstraint("one", name="leadership_is_one_row"),
    )


def _partial_index(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)
