"""Lists of an owner's jobs, and one successor for a dead one. Only indexes: the release before goes on over them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("job_owner", "job", ["owner", "job_id"], postgresql_where=sa.text("owner IS NOT NULL"))
    _partial_index("job_set_aside", ["owner", "state", "job_id"], "state = 'dead' OR state = 'cancelled'")
    _partial_index("job_requeued", ["requeued_from"], "requeued_from IS NOT NULL", unique=True)


def _partial_index(name: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, "job", columns, unique=unique, sqlite_where=condition, postgresql_where=condition)
