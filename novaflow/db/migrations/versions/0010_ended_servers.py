"""The servers of a project that ended lately are found without reading all that it ever had."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_INDEX = "ix_servers_project_id_deleted_at"


def upgrade() -> None:
    # MariaDB does not roll back DDL: a run that was interrupted is completed.
    op.create_index(op.f(_INDEX), "servers", ["project_id", "deleted_at"], if_not_exists=True)


def downgrade() -> None:
    op.drop_index(op.f(_INDEX), "servers")
