"""EC2 key pairs of the identity service."""

import sqlalchemy as sa
from alembic import op

from novaflow.db.schema.metadata import TABLE_OPTIONS

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TABLE = "identity_ec2_credentials"


def upgrade() -> None:
    """Every step may have been made before: MariaDB keeps what an interrupted migration has done."""
    op.create_table(
        _TABLE,
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("sealed_secret", sa.String(255), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["identity_users.id"], name=op.f(f"fk_{_TABLE}_user_id")),
        sa.ForeignKeyConstraint(["project_id"], ["identity_projects.id"], name=op.f(f"fk_{_TABLE}_project_id")),
        if_not_exists=True,
        **TABLE_OPTIONS,
    )
    for column in ("user_id", "project_id"):
        op.create_index(op.f(f"ix_{_TABLE}_{column}"), _TABLE, [column], if_not_exists=True)


def downgrade() -> None:
    op.drop_table(_TABLE)
