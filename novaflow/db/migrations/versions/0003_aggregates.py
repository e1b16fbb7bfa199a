"""Aggregates, server groups, quotas of classes and users; what each user's servers take is counted."""

import sqlalchemy as sa
from alembic import op

from novaflow.db.migrations.making import make, no_tables
from novaflow.db.schema.metadata import TABLE_OPTIONS, LongText, UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_CLASS_FROM_PROJECTS = """
    INSERT INTO quota_class_limits (class_name, resource, value)
    SELECT 'default', resource, value FROM quota_limits WHERE project_id = ''
"""
_CLASS_TO_PROJECTS = """
    INSERT INTO quota_limits (project_id, resource, value)
    SELECT '', resource, value FROM quota_class_limits WHERE class_name = 'default'
"""
_NO_CLASS_IN_PROJECTS = "DELETE FROM quota_limits WHERE project_id = ''"
_COUNT_OF_USERS = """
    INSERT INTO usages (project_id, user_id, instances, cores, ram, key_pairs)
    SELECT project_id, user_id, COUNT(*), SUM(vcpus), SUM(ram_mb), 0 FROM servers
    WHERE is_deleted = 0 GROUP BY project_id, user_id
"""
_NO_COUNT_OF_USERS = "DELETE FROM usages WHERE project_id <> '' AND user_id <> ''"


def upgrade() -> None:
    make(op.get_bind(), _tables())
    for statement in (_CLASS_FROM_PROJECTS, _NO_CLASS_IN_PROJECTS, _NO_COUNT_OF_USERS, _COUNT_OF_USERS):
        op.execute(statement)


def downgrade() -> None:
    for statement in (_NO_CLASS_IN_PROJECTS, _CLASS_TO_PROJECTS, _NO_COUNT_OF_USERS):
        op.execute(statement)
    _tables().drop_all(op.get_bind())


def _tables() -> sa.MetaData:
    tables = no_tables()
    _declare_groups(tables)
    _declare_limits(tables)
    return tables


def _declare_groups(metadata: sa.MetaData) -> None:
    sa.Table(
        "aggregates",
        metadata,
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("uuid", sa.CHAR(36), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("availability_zone", sa.String(255)),
        sa.Column("metadata", LongText, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime()),
        sa.UniqueConstraint("name"),
        **TABLE_OPTIONS,
    )
    sa.Table(
        "aggregate_hosts",
        metadata,
        sa.Column("aggregate_id", sa.Integer(), sa.ForeignKey("aggregates.id", ondelete="CASCADE"), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("aggregate_id", "host"),
        sa.Index(None, "host"),
        **TABLE_OPTIONS,
    )
    sa.Table(
        "server_groups",
        metadata,
        sa.Column("id", sa.CHAR(36), primary_key=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("policy", sa.String(64), nullable=False),
        sa.Column("max_server_per_host", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Index(None, "project_id", "user_id"),
        **TABLE_OPTIONS,
    )
    sa.Table(
        "server_group_members",
        metadata,
        sa.Column("group_id", sa.CHAR(36), nullable=False),
        sa.Column("server_id", sa.CHAR(36), nullable=False),
        sa.PrimaryKeyConstraint("group_id", "server_id"),
        sa.Index(None, "server_id"),
        **TABLE_OPTIONS,
    )


def _declare_limits(metadata: sa.MetaData) -> None:
    sa.Table(
        "quota_class_limits",
        metadata,
        sa.Column("class_name", sa.String(255), nullable=False),
        sa.Column("resource", sa.String(64), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("class_name", "resource"),
        **TABLE_OPTIONS,
    )
    sa.Table(
        "user_quota_limits",
        metadata,
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("resource", sa.String(64), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "user_id", "resource"),
        **TABLE_OPTIONS,
    )
