"""Volumes that end with their server."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_NEW_COLUMN = "delete_on_termination"


def upgrade() -> None:
    # MariaDB does not roll back DDL: a run that was interrupted is completed.
    if _NEW_COLUMN not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("volumes")}:
        op.add_column("volumes", sa.Column(_NEW_COLUMN, sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.drop_column("volumes", _NEW_COLUMN)
