"""The identity service's tables, as revision 0001 made them."""

import sqlalchemy as sa

from novaflow.db.schema.metadata import TABLE_OPTIONS, LongText, UtcDateTime


def declare(metadata: sa.MetaData) -> None:
    """Add these tables to `metadata`."""
    sa.Table(
        "identity_revision",
        metadata,
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer(), nullable=False),
        **TABLE_OPTIONS,
    )
    sa.Table(
        "identity_domains",
        metadata,
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", LongText, nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("tags", LongText, nullable=False),
        sa.Column("options", LongText, nullable=False),
        sa.Column("extra", LongText, nullable=False),
        sa.UniqueConstraint("name"),
        **TABLE_OPTIONS,
    )
    sa.Table(
        "identity_projects",
        metadata,
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("domain_id", sa.String(64), sa.ForeignKey("identity_domains.id"), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("parent_id", sa.String(64), nullable=False),
        sa.Column("description", LongText, nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("tags", LongText, nullable=False),
        sa.Column("options", LongText, nullable=False),
        sa.Column("extra", LongText, nullable=False),
        sa.UniqueConstraint("domain_id", "name"),
        sa.Index(None, "parent_id"),
        **TABLE_OPTIONS,
    )
    sa.Table(
        "identity_users",
        metadata,
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("domain_id", sa.String(64), sa.ForeignKey("identity_domains.id"), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", LongText),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("default_project_id", sa.String(64)),
        sa.Column("password_hash", sa.String(255)),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("options", LongText, nullable=False),
        sa.Column("extra", LongText, nullable=False),
        sa.UniqueConstraint("domain_id", "name"),
        **TABLE_OPTIONS,
    )
    sa.Table(
        "identity_groups",
        metadata,
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("domain_id", sa.String(64), sa.ForeignKey("identity_domains.id"), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", LongText, nullable=False),
        sa.Column("extra", LongText, nullable=False),
        sa.UniqueConstraint("domain_id", "name"),
        **TABLE_OPTIONS,
    )
    sa.Table(
        "identity_memberships",
        metadata,
        sa.Column("user_id", sa.String(64), sa.ForeignKey("identity_users.id"), nullable=False),
        sa.Column("group_id", sa.String(64), sa.ForeignKey("identity_groups.id"), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "group_id"),
        sa.Index(None, "group_id"),
        **TABLE_OPTIONS,
    )
    sa.Table(
        "identity_roles",
        metadata,
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("domain_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", LongText),
        sa.Column("options", LongText, nullable=False),
        sa.Column("extra", LongText, nullable=False),
        sa.UniqueConstraint("domain_id", "name"),
        **TABLE_OPTIONS,
    )
    sa.Table(
        "identity_implied_roles",
        metadata,
        sa.Column("prior_id", sa.String(64), sa.ForeignKey("identity_roles.id"), nullable=False),
        sa.Column("implied_id", sa.String(64), sa.ForeignKey("identity_roles.id"), nullable=False),
        sa.PrimaryKeyConstraint("prior_id", "implied_id"),
        **TABLE_OPTIONS,
    )
    sa.Table(
        "identity_grants",
        metadata,
        sa.Column("actor_id", sa.String(64), nullable=False),
        sa.Column("target_id", sa.String(64), nullable=False),
        sa.Column("role_id", sa.String(64), sa.ForeignKey("identity_roles.id"), nullable=False),
        sa.Column("actor_kind", sa.String(16), nullable=False),
        sa.Column("target_kind", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("actor_id", "target_id", "role_id"),
        sa.Index(None, "target_id"),
        **TABLE_OPTIONS,
    )
    sa.Table(
        "identity_regions",
        metadata,
        sa.Column("id", sa.String(255), primary_key=True),
        sa.Column("description", LongText, nullable=False),
        sa.Column("parent_region_id", sa.String(255), sa.ForeignKey("identity_regions.id")),
        sa.Column("extra", LongText, nullable=False),
        **TABLE_OPTIONS,
    )
    sa.Table(
        "identity_services",
        metadata,
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("type", sa.String(255), nullable=False),
        sa.Column("name", sa.String(255)),
        sa.Column("description", LongText),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("extra", LongText, nullable=False),
        **TABLE_OPTIONS,
    )
    sa.Table(
        "identity_endpoints",
        metadata,
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("service_id", sa.String(64), sa.ForeignKey("identity_services.id"), nullable=False),
        sa.Column("interface", sa.String(16), nullable=False),
        sa.Column("url", LongText, nullable=False),
        sa.Column("region_id", sa.String(255), sa.ForeignKey("identity_regions.id")),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("legacy_endpoint_id", sa.String(64)),
        sa.Column("extra", LongText, nullable=False),
        **TABLE_OPTIONS,
    )
    sa.Table(
        "identity_tokens",
        metadata,
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("user_id", sa.String(64), sa.ForeignKey("identity_users.id"), nullable=False),
        sa.Column("project_id", sa.String(64), sa.ForeignKey("identity_projects.id")),
        sa.Column("domain_id", sa.String(64), sa.ForeignKey("identity_domains.id")),
        sa.Column("is_system", sa.Boolean(), nullable=False),
        sa.Column("methods", sa.String(255), nullable=False),
        sa.Column("audit_ids", sa.String(255), nullable=False),
        sa.Column("issued_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Index(None, "domain_id"),
        sa.Index(None, "expires_at"),
        sa.Index(None, "project_id"),
        sa.Index(None, "user_id", "project_id"),
        **TABLE_OPTIONS,
    )
