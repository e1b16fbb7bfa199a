"""Security groups, floating addresses, and fingerprints of private keys; servers that are there are in their project's default group."""

import uuid
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from novaflow.db.migrations.making import make, no_tables
from novaflow.db.schema.metadata import TABLE_OPTIONS, UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_NEW_COLUMN = "private_fingerprint"
_PROJECTS = sa.text("""
    SELECT DISTINCT project_id FROM servers WHERE is_deleted = 0
    AND project_id NOT IN (SELECT project_id FROM security_groups WHERE name = 'default')
""")
_JOIN = """
    INSERT INTO security_group_members (server_id, group_id)
    SELECT servers.id, security_groups.id FROM servers
    JOIN security_groups ON security_groups.project_id = servers.project_id AND security_groups.name = 'default'
    WHERE servers.is_deleted = 0 AND servers.id NOT IN (SELECT server_id FROM security_group_members)
"""


def upgrade() -> None:
    # MariaDB does not roll back DDL: a run that was interrupted is completed.
    tables = _tables()
    make(op.get_bind(), tables)
    if _NEW_COLUMN not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("key_pairs")}:
        op.add_column("key_pairs", sa.Column(_NEW_COLUMN, sa.String(64), nullable=False, server_default=""))
    projects = op.get_bind().execute(_PROJECTS).scalars().all()
    if projects:
        op.bulk_insert(tables.tables["security_groups"], [_default_group(project_id) for project_id in projects])
    op.execute(_JOIN)


def downgrade() -> None:
    op.drop_column("key_pairs", _NEW_COLUMN)
    _tables().drop_all(op.get_bind())


def _default_group(project_id: str) -> dict[str, object]:
    return {
        "uuid": str(uuid.uuid4()),
        "project_id": project_id,
        "user_id": "",
        "name": "default",
        "description": "default",
        "created_at": datetime.now(UTC),
    }


def _tables() -> sa.MetaData:
    tables = no_tables()
    _declare_groups(tables)
    sa.Table(
        "floating_addresses",
        tables,
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("uuid", sa.CHAR(36), nullable=False, unique=True),
        sa.Column("ip", sa.String(39), nullable=False, unique=True),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("server_id", sa.CHAR(36)),
        sa.Column("fixed_ip", sa.String(39)),
        sa.Index(None, "project_id"),
        sa.Index(None, "server_id"),
        **TABLE_OPTIONS,
    )
    return tables


def _declare_groups(metadata: sa.MetaData) -> None:
    sa.Table(
        "security_groups",
        metadata,
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("uuid", sa.CHAR(36), nullable=False, unique=True),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", sa.String(255), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.UniqueConstraint("project_id", "name"),
        **TABLE_OPTIONS,
    )
    sa.Table(
        "security_rules",
        metadata,
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("uuid", sa.CHAR(36), nullable=False, unique=True),
        sa.Column("group_id", sa.Integer(), nullable=False),
        sa.Column("protocol", sa.String(16), nullable=False),
        sa.Column("from_port", sa.Integer(), nullable=False),
        sa.Column("to_port", sa.Integer(), nullable=False),
        sa.Column("cidr", sa.String(43)),
        sa.Column("source_id", sa.Integer()),
        sa.Index(None, "group_id"),
        sa.Index(None, "source_id"),
        **TABLE_OPTIONS,
    )
    sa.Table(
        "security_group_members",
        metadata,
        sa.Column("server_id", sa.CHAR(36), nullable=False),
        sa.Column("group_id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("server_id", "group_id"),
        sa.Index(None, "group_id"),
        **TABLE_OPTIONS,
    )
