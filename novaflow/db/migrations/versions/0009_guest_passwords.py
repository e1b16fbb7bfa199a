"""Passwords that guests have posted for their owners."""

import sqlalchemy as sa
from alembic import op

from novaflow.db.migrations.making import make, no_tables
from novaflow.db.schema.metadata import TABLE_OPTIONS, LongText

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    make(op.get_bind(), _tables())


def downgrade() -> None:
    _tables().drop_all(op.get_bind())


def _tables() -> sa.MetaData:
    tables = no_tables()
    sa.Table(
        "guest_passwords",
        tables,
        sa.Column("server_id", sa.CHAR(36), primary_key=True),
        sa.Column("password", LongText, nullable=False),
        **TABLE_OPTIONS,
    )
    return tables
