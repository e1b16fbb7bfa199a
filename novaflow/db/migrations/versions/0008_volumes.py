"""Volumes and their snapshots."""

import sqlalchemy as sa
from alembic import op

from novaflow.db.migrations.making import make, no_tables
from novaflow.db.schema.metadata import TABLE_OPTIONS, LongText, UtcDateTime

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    make(op.get_bind(), _tables())


def downgrade() -> None:
    _tables().drop_all(op.get_bind())


def _tables() -> sa.MetaData:
    tables = no_tables()
    sa.Table(
        "volumes",
        tables,
        *_common(),
        sa.Column("availability_zone", sa.String(255), nullable=False),
        sa.Column("snapshot_id", sa.CHAR(36)),
        sa.Column("server_id", sa.CHAR(36)),
        sa.Column("device", sa.String(64), nullable=False),
        sa.Column("attached_at", UtcDateTime()),
        sa.Index(None, "project_id", "is_deleted"),
        sa.Index(None, "host"),
        sa.Index(None, "server_id"),
        sa.Index(None, "status", "ordered_at"),
        **TABLE_OPTIONS,
    )
    sa.Table(
        "volume_snapshots",
        tables,
        *_common(),
        sa.Column("volume_id", sa.CHAR(36), nullable=False),
        sa.Index(None, "project_id", "is_deleted"),
        sa.Index(None, "host"),
        sa.Index(None, "status", "ordered_at"),
        **TABLE_OPTIONS,
    )
    return tables


def _common() -> tuple[sa.Column[object], ...]:
    return (
        sa.Column("id", sa.CHAR(36), primary_key=True),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", LongText, nullable=False),
        sa.Column("metadata", LongText, nullable=False),
        sa.Column("size_gb", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("is_deleted", sa.Boolean(), nullable=False),
        sa.Column("host", sa.String(255)),
        sa.Column("order_id", sa.CHAR(36), nullable=False),
        sa.Column("ordered_at", UtcDateTime(), nullable=False),
        sa.Column("orders", sa.Integer(), nullable=False),
        sa.Column("fault", LongText, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
    )
