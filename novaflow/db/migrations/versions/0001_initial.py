"""The first schema, and Icehouse's default flavors."""

from alembic import op

from novaflow.db.migrations import initial

revision = initial.REVISION
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    initial.create(op.get_bind())


def downgrade() -> None:
    initial.drop(op.get_bind())
