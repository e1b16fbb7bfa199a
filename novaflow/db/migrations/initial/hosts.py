"""The tables of hosts, services, flavors and key pairs, as revision 0001 made them."""

import sqlalchemy as sa

from novaflow.db.schema.metadata import TABLE_OPTIONS, LongText, UtcDateTime


def declare(metadata: sa.MetaData) -> None:
    """Add these tables to `metadata`."""
    sa.Table(
        "hosts",
        metadata,
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("id", sa.CHAR(36), nullable=False),
        sa.Column("availability_zone", sa.String(255), nullable=False),
        sa.Column("resources", LongText, nullable=False),
        sa.Column("vcpus", sa.BigInteger(), nullable=False),
        sa.Column("ram_mb", sa.BigInteger(), nullable=False),
        sa.Column("disk_gb", sa.BigInteger(), nullable=False),
        sa.Column("vcpus_used", sa.BigInteger(), nullable=False),
        sa.Column("ram_mb_used", sa.BigInteger(), nullable=False),
        sa.Column("disk_gb_used", sa.BigInteger(), nullable=False),
        sa.Column("servers", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.UniqueConstraint("id"),
        **TABLE_OPTIONS,
    )
    sa.Table(
        "services",
        metadata,
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("uuid", sa.CHAR(36), nullable=False),
        sa.Column("binary", sa.String(64), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("zone", sa.String(255), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.Column("is_forced_down", sa.Boolean(), nullable=False),
        sa.Column("disabled_reason", sa.String(255)),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.UniqueConstraint("binary", "host"),
        sa.UniqueConstraint("uuid"),
        **TABLE_OPTIONS,
    )
    sa.Table(
        "flavors",
        metadata,
        sa.Column("id", sa.String(255), primary_key=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("vcpus", sa.Integer(), nullable=False),
        sa.Column("ram_mb", sa.Integer(), nullable=False),
        sa.Column("disk_gb", sa.Integer(), nullable=False),
        sa.Column("ephemeral_gb", sa.Integer(), nullable=False),
        sa.Column("swap_mb", sa.Integer(), nullable=False),
        sa.Column("rxtx_factor", sa.Float(), nullable=False),
        sa.Column("is_public", sa.Boolean(), nullable=False),
        sa.Column("is_disabled", sa.Boolean(), nullable=False),
        sa.Column("description", LongText),
        sa.Column("extra_specs", LongText, nullable=False),
        sa.UniqueConstraint("name"),
        **TABLE_OPTIONS,
    )
    sa.Table(
        "flavor_projects",
        metadata,
        sa.Column("flavor_id", sa.String(255), sa.ForeignKey("flavors.id", ondelete="CASCADE"), nullable=False),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("flavor_id", "project_id"),
        **TABLE_OPTIONS,
    )
    sa.Table(
        "key_pairs",
        metadata,
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("public_key", LongText, nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("type", sa.String(16), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.UniqueConstraint("user_id", "name"),
        **TABLE_OPTIONS,
    )
