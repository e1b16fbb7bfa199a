"""The image service's tables, as revision 0001 made them."""

import sqlalchemy as sa

from novaflow.db.schema.metadata import TABLE_OPTIONS, LongText, UtcDateTime


def declare(metadata: sa.MetaData) -> None:
    """Add these tables to `metadata`."""
    sa.Table(
        "images",
        metadata,
        sa.Column("id", sa.CHAR(36), primary_key=True),
        sa.Column("name", sa.String(255)),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("visibility", sa.String(32), nullable=False),
        sa.Column("owner", sa.String(255)),
        sa.Column("protected", sa.Boolean(), nullable=False),
        sa.Column("os_hidden", sa.Boolean(), nullable=False),
        sa.Column("disk_format", sa.String(64)),
        sa.Column("container_format", sa.String(64)),
        sa.Column("min_disk", sa.Integer(), nullable=False),
        sa.Column("min_ram", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger()),
        sa.Column("virtual_size", sa.BigInteger()),
        sa.Column("checksum", sa.String(32)),
        sa.Column("os_hash_algo", sa.String(64)),
        sa.Column("os_hash_value", sa.String(128)),
        sa.Column("upload_id", sa.CHAR(36)),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("deleted_at", UtcDateTime()),
        sa.Index(None, "owner"),
        sa.Index(None, "status", "created_at", "id"),
        **TABLE_OPTIONS,
    )
    sa.Table(
        "image_properties",
        metadata,
        sa.Column("image_id", sa.CHAR(36), sa.ForeignKey("images.id"), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("value", LongText, nullable=False),
        sa.PrimaryKeyConstraint("image_id", "name"),
        **TABLE_OPTIONS,
    )
    sa.Table(
        "image_tags",
        metadata,
        sa.Column("image_id", sa.CHAR(36), sa.ForeignKey("images.id"), nullable=False),
        sa.Column("value", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("image_id", "value"),
        sa.Index(None, "value"),
        **TABLE_OPTIONS,
    )
    sa.Table(
        "image_members",
        metadata,
        sa.Column("image_id", sa.CHAR(36), sa.ForeignKey("images.id"), nullable=False),
        sa.Column("member_id", sa.String(255), nullable=False),
        sa.Column("status", sa.String(64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("image_id", "member_id"),
        sa.Index(None, "member_id", "status"),
        **TABLE_OPTIONS,
    )
