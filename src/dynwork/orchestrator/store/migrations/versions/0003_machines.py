"""Where a machine is asked for; that a worker's machine is about to go. Columns that the release before leaves out."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("worker", sa.Column("notice", sa.String(64)))
    op.add_column("instance", sa.Column("placement", sa.Text))
    ended = sa.text("state = 'ended'")
    op.create_index("instance_ended", "instance", ["ended_at"], sqlite_where=ended, postgresql_where=ended)
