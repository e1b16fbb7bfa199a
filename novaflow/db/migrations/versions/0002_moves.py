"""What actions were asked with, and the moves of servers to other hosts and flavors."""

import sqlalchemy as sa
from alembic import op

from novaflow.db.schema.metadata import TABLE_OPTIONS, LongText, UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Every step may have been made before: MariaDB keeps what an interrupted migration has done."""
    if "params" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("tasks")}:
        op.add_column("tasks", sa.Column("params", LongText))
    op.create_table(
        "migrations",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("uuid", sa.CHAR(36), nullable=False, unique=True),
        sa.Column("server_id", sa.CHAR(36), nullable=False),
        sa.Column("task_id", sa.CHAR(36), nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("status", sa.String(64), nullable=False),
        sa.Column("source_host", sa.String(255), nullable=False),
        sa.Column("dest_host", sa.String(255)),
        sa.Column("old_flavor", LongText, nullable=False),
        sa.Column("new_flavor", LongText, nullable=False),
        sa.Column("old_vm", sa.String(32), nullable=False),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("claim_host", sa.String(255)),
        sa.Column("claim_vcpus", sa.Integer(), nullable=False),
        sa.Column("claim_ram_mb", sa.Integer(), nullable=False),
        sa.Column("claim_disk_gb", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        if_not_exists=True,
        **TABLE_OPTIONS,
    )
    for columns in (("server_id",), ("claim_host",), ("status", "updated_at")):
        op.create_index(op.f(f"ix_migrations_{'_'.join(columns)}"), "migrations", list(columns), if_not_exists=True)


def downgrade() -> None:
    op.drop_table("migrations")
    op.drop_column("tasks", "params")
