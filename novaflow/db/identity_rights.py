"""Roles, implications and the catalogue as one value that is read again only when they changed.

Every statement that validates or issues a token also says the current revision; a snapshot of that revision is right by
definition, in this process and beside others.
"""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.database import Database
from novaflow.db.identity_tokens import revision
from novaflow.db.schema.identity import ENDPOINTS, IMPLICATIONS, ROLES, SERVICES
from novaflow.identity.models import Endpoint, Named, Service
from novaflow.identity.roles import effective
from novaflow.models import Value


class Rights(Value, frozen=True, kw_only=True):
    """What tokens are completed with, as it was at one revision."""

    revision: int
    roles: dict[str, Named]
    implications: tuple[tuple[str, str], ...]
    services: tuple[Service, ...]
    endpoints: tuple[Endpoint, ...]

    def named(self, role_ids: tuple[str, ...]) -> tuple[Named, ...]:
        """The roles that granted ids amount to, with what they imply."""
        return tuple(self.roles[key] for key in effective(role_ids, self.implications) if key in self.roles)


class RightsCache:
    """Keeps the newest snapshot."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._newest: Rights | None = None

    @property
    def newest(self) -> Rights:
        """The snapshot that `at` gave last; for whoever has just asked for one."""
        if self._newest is None:
            raise RuntimeError("rights are read before they are shown")
        return self._newest

    async def at(self, number: int) -> Rights:
        """The snapshot of that revision, or of a newer one."""
        if self._newest is None or self._newest.revision < number:
            found = await self._db.read(_load)
            if self._newest is None or self._newest.revision < found.revision:
                self._newest = found
        return self._newest


async def _load(connection: AsyncConnection) -> Rights:
    # The number is read first: what is read after it is as new or newer, and never kept for older than it is.
    number = await connection.scalar(select(revision())) or 0
    roles = await connection.execute(select(ROLES.c.id, ROLES.c.name))
    implications = await connection.execute(select(IMPLICATIONS.c.prior_id, IMPLICATIONS.c.implied_id))
    services = await connection.execute(select(SERVICES).order_by(SERVICES.c.type, SERVICES.c.id))
    endpoints = await connection.execute(select(ENDPOINTS).order_by(ENDPOINTS.c.interface, ENDPOINTS.c.id))
    return Rights(
        revision=number,
        roles={key: Named(id=key, name=name) for key, name in roles},
        implications=tuple((prior, implied) for prior, implied in implications),
        services=tuple(Service(**dict(row)) for row in services.mappings()),
        endpoints=tuple(Endpoint(**dict(row)) for row in endpoints.mappings()),
    )
