"""The first start: what must be there before anyone can log in.

Safe to run at every start and by several processes at once: the first statement of the transaction takes the one row of
`identity_revision`, so the second process waits and then finds everything there.
"""

import uuid

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.database import Database
from novaflow.db.identity import Identity
from novaflow.db.identity_records import REVISION_ROW, bump
from novaflow.db.schema.identity import DOMAINS, GRANTS, IMPLICATIONS, PROJECTS, REVISION, ROLES, USERS
from novaflow.identity.models import DEFAULT_DOMAIN, SYSTEM, Domain, Project, Role, User
from novaflow.identity.roles import BOOTSTRAP_IMPLICATIONS, BOOTSTRAP_ROLES
from novaflow.models import ADMIN_ROLE, Value


class Account(Value, frozen=True, kw_only=True):
    """A user to have, with role admin in a project of the default domain. `on_system`: and on the system."""

    user: str
    project: str
    description: str
    on_system: bool = False


class Seeded(Value, frozen=True, kw_only=True):
    """A user after the bootstrap; `is_new` if this run made it."""

    user_id: str
    password_hash: str | None
    is_new: bool


class Bootstrap:
    """Makes the default domain, the roles and the first users."""

    def __init__(self, db: Database, identity: Identity) -> None:
        self._db = db
        self._identity = identity

    async def base(self) -> None:
        """The default domain, the five roles and what they imply (keystone/cmd/bootstrap.py)."""
        await self._have_revision()
        roles = {name: uuid.uuid4().hex for name in BOOTSTRAP_ROLES}

        async def work(connection: AsyncConnection) -> None:
            await bump(connection)
            domain = Domain(id=DEFAULT_DOMAIN, name="Default", description="The default domain")
            if not await self._identity.domains.select(connection, DOMAINS.c.id == domain.id):
                await self._identity.domains.add(connection, domain)
            if await self._identity.roles.select(connection, ROLES.c.domain_id == ""):
                return
            for name, key in roles.items():
                await self._identity.roles.add(connection, Role(id=key, name=name))
            for prior, implied in BOOTSTRAP_IMPLICATIONS:
                pair = {"prior_id": roles[prior], "implied_id": roles[implied]}
                await connection.execute(insert(IMPLICATIONS).values(**pair))

        await self._db.write(work)

    async def account(self, account: Account, password_hash: str) -> Seeded:
        """Have the user, its project and its role; a user that is there keeps its password."""
        user = User(id=uuid.uuid4().hex, name=account.user, domain_id=DEFAULT_DOMAIN, password_hash=password_hash)
        project_id = uuid.uuid4().hex

        async def work(connection: AsyncConnection) -> Seeded:
            await bump(connection)
            stored = await self._user(connection, account.user)
            if stored is not None:
                return Seeded(user_id=stored.id, password_hash=stored.password_hash, is_new=False)
            await self._identity.users.add(connection, user)
            await self._grant(connection, user.id, await self._project(connection, account, project_id), "project")
            if account.on_system:
                await self._grant(connection, user.id, SYSTEM, SYSTEM)
            return Seeded(user_id=user.id, password_hash=password_hash, is_new=True)

        return await self._db.write(work)

    async def find(self, name: str) -> Seeded | None:
        """A user of the default domain as it is."""
        user = await self._db.read(lambda connection: self._user(connection, name))
        return Seeded(user_id=user.id, password_hash=user.password_hash, is_new=False) if user else None

    async def _user(self, connection: AsyncConnection, name: str) -> User | None:
        stored = await self._identity.users.select(
            connection, USERS.c.domain_id == DEFAULT_DOMAIN, USERS.c.name == name
        )
        return stored[0] if stored else None

    async def _project(self, connection: AsyncConnection, account: Account, key: str) -> str:
        same = (PROJECTS.c.domain_id == DEFAULT_DOMAIN, PROJECTS.c.name == account.project)
        stored = await self._identity.projects.select(connection, *same)
        if stored:
            return stored[0].id
        project = Project(
            id=key,
            name=account.project,
            domain_id=DEFAULT_DOMAIN,
            parent_id=DEFAULT_DOMAIN,
            description=account.description,
        )
        return (await self._identity.projects.add(connection, project)).id

    async def _grant(self, connection: AsyncConnection, user_id: str, target_id: str, target_kind: str) -> None:
        admin = (ROLES.c.domain_id == "", ROLES.c.name == ADMIN_ROLE)
        role_id = await connection.scalar(select(ROLES.c.id).where(*admin))
        row = {"actor_id": user_id, "target_id": target_id, "role_id": role_id}
        await connection.execute(insert(GRANTS).values(**row, actor_kind="user", target_kind=target_kind))

    async def _have_revision(self) -> None:
        async def work(connection: AsyncConnection) -> None:
            if (await connection.execute(select(REVISION).where(REVISION.c.id == REVISION_ROW))).first() is None:
                await connection.execute(insert(REVISION).values(id=REVISION_ROW, number=1))

        try:
            await self._db.write(work)
        except IntegrityError:
            return  # another process was first
