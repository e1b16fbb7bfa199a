"""Tables of the identity service.

A token's row is keyed by the SHA-256 of the token. Ids of domains, projects, users and roles are 32 hex digits (or `default`).
`identity_revision` has one row, counted up by every change of roles, implications and the catalogue, so
that caches of them can be checked within another statement.
"""

from typing import Any, Final

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    UniqueConstraint,
)

from novaflow.db.schema.metadata import JsonText, Key, LongText, Name, UtcDateTime, table

_OBJECT: Final = dict[str, Any]


def _id() -> Column[str]:
    return Column("id", Key, primary_key=True)


def _domain() -> Column[str]:
    return Column("domain_id", Key, ForeignKey("identity_domains.id"), nullable=False)


def _json(name: str, value_type: Any) -> Column[Any]:
    return Column(name, JsonText(value_type), nullable=False)


REVISION: Final[Table] = table(
    "identity_revision",
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False),
)

DOMAINS: Final[Table] = table(
    "identity_domains",
    _id(),
    Column("name", Name, nullable=False, unique=True),
    Column("description", LongText, nullable=False),
    Column("enabled", Boolean, nullable=False),
    _json("tags", list[str]),
    _json("options", _OBJECT),
    _json("extra", _OBJECT),
)

PROJECTS: Final[Table] = table(
    "identity_projects",
    _id(),
    _domain(),
    Column("name", Name, nullable=False),
    Column("parent_id", Key, nullable=False),
    Column("description", LongText, nullable=False),
    Column("enabled", Boolean, nullable=False),
    _json("tags", list[str]),
    _json("options", _OBJECT),
    _json("extra", _OBJECT),
    UniqueConstraint("domain_id", "name"),
    Index(None, "parent_id"),
)

USERS: Final[Table] = table(
    "identity_users",
    _id(),
    _domain(),
    Column("name", Name, nullable=False),
    Column("description", LongText),
    Column("enabled", Boolean, nullable=False),
    Column("default_project_id", Key),
    Column("password_hash", Name),
    Column("epoch", Integer, nullable=False),  # counted up by whatever ends the user's tokens
    _json("options", _OBJECT),
    _json("extra", _OBJECT),
    UniqueConstraint("domain_id", "name"),
)

GROUPS: Final[Table] = table(
    "identity_groups",
    _id(),
    _domain(),
    Column("name", Name, nullable=False),
    Column("description", LongText, nullable=False),
    _json("extra", _OBJECT),
    UniqueConstraint("domain_id", "name"),
)

MEMBERSHIPS: Final[Table] = table(
    "identity_memberships",
    Column("user_id", Key, ForeignKey("identity_users.id"), nullable=False),
    Column("group_id", Key, ForeignKey("identity_groups.id"), nullable=False),
    PrimaryKeyConstraint("user_id", "group_id"),
    Index(None, "group_id"),
)

ROLES: Final[Table] = table(
    "identity_roles",
    _id(),
    Column("domain_id", Key, nullable=False),  # empty: a global role
    Column("name", Name, nullable=False),
    Column("description", LongText),
    _json("options", _OBJECT),
    _json("extra", _OBJECT),
    UniqueConstraint("domain_id", "name"),
)

IMPLICATIONS: Final[Table] = table(
    "identity_implied_roles",
    Column("prior_id", Key, ForeignKey("identity_roles.id"), nullable=False),
    Column("implied_id", Key, ForeignKey("identity_roles.id"), nullable=False),
    PrimaryKeyConstraint("prior_id", "implied_id"),
)

# An actor is a user or a group; a target is a project, a domain, or the one system.
GRANTS: Final[Table] = table(
    "identity_grants",
    Column("actor_id", Key, nullable=False),
    Column("target_id", Key, nullable=False),
    Column("role_id", Key, ForeignKey("identity_roles.id"), nullable=False),
    Column("actor_kind", String(16), nullable=False),
    Column("target_kind", String(16), nullable=False),
    PrimaryKeyConstraint("actor_id", "target_id", "role_id"),
    Index(None, "target_id"),
)

REGIONS: Final[Table] = table(
    "identity_regions",
    Column("id", Name, primary_key=True),
    Column("description", LongText, nullable=False),
    Column("parent_region_id", Name, ForeignKey("identity_regions.id")),
    _json("extra", _OBJECT),
)

SERVICES: Final[Table] = table(
    "identity_services",
    _id(),
    Column("type", Name, nullable=False),
    Column("name", Name),
    Column("description", LongText),
    Column("enabled", Boolean, nullable=False),
    _json("extra", _OBJECT),
)

ENDPOINTS: Final[Table] = table(
    "identity_endpoints",
    _id(),
    Column("service_id", Key, ForeignKey("identity_services.id"), nullable=False),
    Column("interface", String(16), nullable=False),
    Column("url", LongText, nullable=False),
    Column("region_id", Name, ForeignKey("identity_regions.id")),
    Column("enabled", Boolean, nullable=False),
    Column("legacy_endpoint_id", Key),
    _json("extra", _OBJECT),
)

TOKENS: Final[Table] = table(
    "identity_tokens",
    Column("digest", Key, primary_key=True),
    Column("user_id", Key, ForeignKey("identity_users.id"), nullable=False),
    Column("project_id", Key, ForeignKey("identity_projects.id")),
    Column("domain_id", Key, ForeignKey("identity_domains.id")),
    Column("is_system", Boolean, nullable=False),
    Column("methods", Name, nullable=False),  # separated by commas
    Column("audit_ids", Name, nullable=False),  # its own, then its parent's, separated by a comma
    Column("issued_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Index(None, "user_id", "project_id"),
    Index(None, "project_id"),
    Index(None, "domain_id"),
    Index(None, "expires_at"),
)

EC2_CREDENTIALS: Final[Table] = table(
    "identity_ec2_credentials",
    _id(),  # the access key
    Column("user_id", Key, ForeignKey("identity_users.id"), nullable=False),
    Column("project_id", Key, ForeignKey("identity_projects.id"), nullable=False),
    Column("sealed_secret", Name, nullable=False),
    Index(None, "user_id"),
    Index(None, "project_id"),
)
