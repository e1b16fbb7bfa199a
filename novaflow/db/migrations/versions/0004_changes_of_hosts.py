"""When each host last changed in what a scheduler decides upon, so that schedulers read the changes alone."""

import sqlalchemy as sa
from alembic import op

from novaflow.db.schema.metadata import UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_INDEX = "ix_hosts_changed_at"


def upgrade() -> None:
    # MariaDB does not roll back DDL: a run that was interrupted is completed.
    if "changed_at" not in _columns():
        op.add_column("hosts", sa.Column("changed_at", UtcDateTime()))
    op.execute("UPDATE hosts SET changed_at = updated_at WHERE changed_at IS NULL")
    with op.batch_alter_table("hosts") as hosts:
        hosts.alter_column("changed_at", existing_type=UtcDateTime(), nullable=False)
    if _INDEX not in _indexes():
        op.create_index(op.f(_INDEX), "hosts", ["changed_at"])


def downgrade() -> None:
    op.drop_index(op.f(_INDEX), "hosts")
    op.drop_column("hosts", "changed_at")


def _columns() -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns("hosts")}


def _indexes() -> set[str | None]:
    return {index["name"] for index in sa.inspect(op.get_bind()).get_indexes("hosts")}
