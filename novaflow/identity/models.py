"""The nouns of the identity service as frozen values.

A record carries its columns by name; attributes that a client invented live in `extra` and are shown beside the others, as
Keystone does. Times are timezone-aware UTC.
"""

from datetime import datetime
from typing import Any, Final

from msgspec import field

from novaflow.models import Value

DEFAULT_DOMAIN: Final = "default"  # the domain of every v2.0 user and tenant
SYSTEM: Final = "system"  # the one target of system grants


class Domain(Value, frozen=True, kw_only=True):
    """A name space of users, groups and projects."""

    id: str
    name: str
    description: str = ""
    enabled: bool = True
    tags: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)


class Project(Value, frozen=True, kw_only=True):
    """What owns servers and quota; a tenant in v2.0. `parent_id` is the domain's id for a project at the top."""

    id: str
    name: str
    domain_id: str
    parent_id: str
    description: str = ""
    enabled: bool = True
    tags: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)


class User(Value, frozen=True, kw_only=True):
    """Someone who may log in. `epoch` changes with whatever ends the user's tokens."""

    id: str
    name: str
    domain_id: str
    enabled: bool = True
    description: str | None = None
    default_project_id: str | None = None
    password_hash: str | None = None
    epoch: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"User(id={self.id!r}, name={self.name!r}, domain_id={self.domain_id!r})"


class Group(Value, frozen=True, kw_only=True):
    """Users that get roles together."""

    id: str
    name: str
    domain_id: str
    description: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


class Role(Value, frozen=True, kw_only=True):
    """A named right; global (no `domain_id`), or of one domain."""

    id: str
    name: str
    domain_id: str = ""
    description: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)


class Region(Value, frozen=True, kw_only=True):
    """Where endpoints are; `id` is the name."""

    id: str
    description: str = ""
    parent_region_id: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class Service(Value, frozen=True, kw_only=True):
    """One service of the catalogue."""

    id: str
    type: str
    name: str | None = None
    description: str | None = None
    enabled: bool = True
    extra: dict[str, Any] = field(default_factory=dict)


class Endpoint(Value, frozen=True, kw_only=True):
    """One URL of a service; `interface` is public, internal or admin.

    Endpoints made through v2.0 in one request share a `legacy_endpoint_id`.
    """

    id: str
    service_id: str
    interface: str
    url: str
    region_id: str | None = None
    enabled: bool = True
    legacy_endpoint_id: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class Grant(Value, frozen=True, kw_only=True):
    """A role that an actor (user or group) has on a target (project, domain or the system)."""

    actor_kind: str
    actor_id: str
    target_kind: str
    target_id: str
    role_id: str


class Ec2Credential(Value, frozen=True, kw_only=True):
    """A key pair of a user for one project; `id` is the access key, `sealed_secret` the secret key, encrypted."""

    id: str
    user_id: str
    project_id: str
    sealed_secret: str

    def __repr__(self) -> str:
        return f"Ec2Credential(id={self.id!r}, user_id={self.user_id!r}, project_id={self.project_id!r})"


class Named(Value, frozen=True, kw_only=True):
    """An id with its name, as references show it."""

    id: str
    name: str


class Owned(Value, frozen=True, kw_only=True):
    """A user or project with the domain it is of."""

    id: str
    name: str
    domain: Named


class Claims(Value, frozen=True, kw_only=True):
    """What a valid token says: who, with which scope and which roles, until when.

    `digest` is the key of the stored token; the token itself is never kept.
    """

    digest: str
    user: Owned
    methods: tuple[str, ...]
    audit_ids: tuple[str, ...]
    issued_at: datetime
    expires_at: datetime
    epoch: int = 0
    project: Owned | None = None
    domain: Named | None = None
    is_system: bool = False
    roles: tuple[Named, ...] = ()

    @property
    def is_scoped(self) -> bool:
        """Says something about a project, a domain or the system."""
        return self.project is not None or self.domain is not None or self.is_system

    def has_role(self, name: str) -> bool:
        """Holds the role of that name in its scope."""
        return any(role.name == name for role in self.roles)
