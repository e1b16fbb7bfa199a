"""What the EC2 API keeps: short ids, client tokens, used signatures, tags of what has no metadata."""

import sqlalchemy as sa
from alembic import op

from novaflow.db.schema.metadata import TABLE_OPTIONS, UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Every step may have been made before: MariaDB keeps what an interrupted migration has done."""
    _make(
        "ec2_ids",
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("resource_id", sa.String(64), nullable=False),
        sa.UniqueConstraint("kind", "resource_id", name=op.f("uq_ec2_ids_kind_resource_id")),
    )
    _make(
        "ec2_client_tokens",
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("token", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("reservation_id", sa.String(64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "token"),
    )
    _make(
        "ec2_signatures",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("until", UtcDateTime(), nullable=False),
    )
    _make(
        "ec2_tags",
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("resource", sa.String(64), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("value", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "resource", "key"),
    )
    for table, column in (("ec2_client_tokens", "reservation_id"), ("ec2_signatures", "until")):
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column], if_not_exists=True)


def downgrade() -> None:
    for table in ("ec2_tags", "ec2_signatures", "ec2_client_tokens", "ec2_ids"):
        op.drop_table(table)


def _make(name: str, *items: sa.schema.SchemaItem) -> None:
    op.create_table(name, *items, if_not_exists=True, **TABLE_OPTIONS)
