"""Roles, what they imply, and who holds which on what."""

from sqlalchemy import ColumnElement, delete, insert, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.database import Database
from novaflow.db.identity_domains import Domains, Projects
from novaflow.db.identity_records import CountedRecords, bump
from novaflow.db.identity_tokens import end_tokens
from novaflow.db.identity_users import Groups, Users
from novaflow.db.schema.identity import DOMAINS, GRANTS, IMPLICATIONS, MEMBERSHIPS, PROJECTS, ROLES, TOKENS
from novaflow.errors import NotFound
from novaflow.identity.models import Domain, Grant, Project, Role


class Roles(CountedRecords[Role]):
    """The roles and their implications."""

    def __init__(self, db: Database) -> None:
        super().__init__(db, ROLES, Role, "role")

    async def delete(self, key: str) -> None:
        """Delete a role; tokens that hold it by a grant end. Raises NotFound."""

        async def work(connection: AsyncConnection) -> None:
            await bump(connection)
            role = await self.fetch(connection, key, locked=True)
            await _end_tokens_with(connection, GRANTS.c.role_id == key)
            await connection.execute(delete(GRANTS).where(GRANTS.c.role_id == key))
            implied = or_(IMPLICATIONS.c.prior_id == key, IMPLICATIONS.c.implied_id == key)
            await connection.execute(delete(IMPLICATIONS).where(implied))
            await self.remove(connection, role)

        await self._db.write(work)

    async def implied_by(self, prior_id: str) -> list[Role]:
        """The roles that one role implies by itself."""
        implied = select(IMPLICATIONS.c.implied_id).where(IMPLICATIONS.c.prior_id == prior_id)
        return await self._db.read(lambda connection: self.select(connection, ROLES.c.id.in_(implied)))

    async def imply(self, prior_id: str, implied_id: str) -> None:
        """Let one role imply another; once is enough. Raises NotFound."""

        async def work(connection: AsyncConnection) -> None:
            await bump(connection)
            await self.fetch(connection, prior_id)
            await self.fetch(connection, implied_id)
            pair = (IMPLICATIONS.c.prior_id == prior_id, IMPLICATIONS.c.implied_id == implied_id)
            if (await connection.execute(select(IMPLICATIONS).where(*pair))).first() is None:
                await connection.execute(insert(IMPLICATIONS).values(prior_id=prior_id, implied_id=implied_id))

        await self._db.write(work)

    async def imply_no_more(self, prior_id: str, implied_id: str) -> None:
        """Undo `imply`. Raises NotFound."""
        pair = (IMPLICATIONS.c.prior_id == prior_id, IMPLICATIONS.c.implied_id == implied_id)

        async def work(connection: AsyncConnection) -> None:
            await bump(connection)
            if (await connection.execute(delete(IMPLICATIONS).where(*pair))).rowcount == 0:
                raise NotFound(kind="implied role", key=f"{prior_id}/{implied_id}")

        await self._db.write(work)


class Grants:
    """Who holds which role on what."""

    def __init__(self, db: Database, domains: Domains, projects: Projects, users: Users, groups: Groups, roles: Roles):
        self._db = db
        self._actors: dict[str, Users | Groups] = {"user": users, "group": groups}
        self._targets: dict[str, Projects | Domains] = {"project": projects, "domain": domains}
        self._projects = projects
        self._domains = domains
        self._roles = roles

    async def add(self, grant: Grant) -> None:
        """Grant a role; once is enough. Raises NotFound naming what is not there."""

        async def work(connection: AsyncConnection) -> None:
            await self._check(connection, grant)
            try:
                await connection.execute(
                    insert(GRANTS).values(
                        actor_id=grant.actor_id,
                        target_id=grant.target_id,
                        role_id=grant.role_id,
                        actor_kind=grant.actor_kind,
                        target_kind=grant.target_kind,
                    )
                )
            except IntegrityError:
                return  # it is granted already, and its parts are locked: nothing else can be wrong

        await self._db.write(work)

    async def remove(self, grant: Grant) -> None:
        """Take a role away again; the tokens that had it end. Raises NotFound, also if it was not granted."""

        async def work(connection: AsyncConnection) -> None:
            await self._check(connection, grant)
            await _end_tokens_with(connection, *_is(grant))
            if (await connection.execute(delete(GRANTS).where(*_is(grant)))).rowcount == 0:
                raise _not_granted(grant)

        await self._db.write(work)

    async def check(self, grant: Grant) -> None:
        """Raises NotFound unless the role is granted."""
        found = await self._db.read(lambda connection: _select(connection, *_is(grant)))
        if not found:
            raise _not_granted(grant)

    async def all(self, **equal: str | None) -> list[Grant]:
        """Grants whose columns have these values; None is any."""
        wanted = [GRANTS.c[name] == value for name, value in equal.items() if value is not None]
        return await self._db.read(lambda connection: _select(connection, *wanted))

    async def of_user(self, user_id: str) -> list[Grant]:
        """What a user was granted itself or through its groups."""
        return await self._db.read(lambda connection: _select(connection, _reaches(user_id)))

    async def projects_of(self, user_id: str) -> list[Project]:
        """Projects on which a user has a role."""
        mine = select(GRANTS.c.target_id).where(_reaches(user_id), GRANTS.c.target_kind == "project")
        return await self._db.read(lambda connection: self._projects.select(connection, PROJECTS.c.id.in_(mine)))

    async def domains_of(self, user_id: str) -> list[Domain]:
        """Domains on which a user has a role."""
        mine = select(GRANTS.c.target_id).where(_reaches(user_id), GRANTS.c.target_kind == "domain")
        return await self._db.read(lambda connection: self._domains.select(connection, DOMAINS.c.id.in_(mine)))

    async def _check(self, connection: AsyncConnection, grant: Grant) -> None:
        """Hold the parts of a grant as they are until the transaction ends."""
        await self._actors[grant.actor_kind].fetch(connection, grant.actor_id, locked=True)
        if grant.target_kind in self._targets:
            await self._targets[grant.target_kind].fetch(connection, grant.target_id, locked=True)
        await self._roles.fetch(connection, grant.role_id, locked=True)


def _reaches(user_id: str) -> ColumnElement[bool]:
    groups = select(MEMBERSHIPS.c.group_id).where(MEMBERSHIPS.c.user_id == user_id)
    return or_(GRANTS.c.actor_id == user_id, GRANTS.c.actor_id.in_(groups))


def _is(grant: Grant) -> tuple[ColumnElement[bool], ...]:
    return (
        GRANTS.c.actor_id == grant.actor_id,
        GRANTS.c.target_id == grant.target_id,
        GRANTS.c.role_id == grant.role_id,
    )


def _not_granted(grant: Grant) -> NotFound:
    return NotFound(
        kind="role assignment with role",
        key=f"{grant.role_id}, user or group: {grant.actor_id}, project, domain, or system: {grant.target_id}",
    )


async def _select(connection: AsyncConnection, *wanted: ColumnElement[bool]) -> list[Grant]:
    query = select(GRANTS).where(*wanted).order_by(GRANTS.c.target_id, GRANTS.c.actor_id, GRANTS.c.role_id)
    return [Grant(**dict(row)) for row in (await connection.execute(query)).mappings()]


async def _end_tokens_with(connection: AsyncConnection, *wanted: ColumnElement[bool]) -> None:
    """End the tokens that hold a role by one of these grants."""
    for grant in await _select(connection, *wanted):
        actors = [grant.actor_id]
        if grant.actor_kind == "group":
            members = select(MEMBERSHIPS.c.user_id).where(MEMBERSHIPS.c.group_id == grant.actor_id)
            actors = list((await connection.execute(members)).scalars())
        scope = {
            "project": TOKENS.c.project_id == grant.target_id,
            "domain": TOKENS.c.domain_id == grant.target_id,
        }.get(grant.target_kind, TOKENS.c.is_system)
        await end_tokens(connection, TOKENS.c.user_id.in_(actors), scope)
