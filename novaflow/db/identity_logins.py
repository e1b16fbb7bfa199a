"""What a login needs to know before it is decided: the user, what it asks to act on, and its roles there.

Nothing here says yes or no. A user or scope that is not there, or not enabled, is None: the one who asks answers
the same for both.
"""

from functools import cache
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, RowMapping, Select, Table, and_, bindparam, literal, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.database import Database
from novaflow.db.identity_tokens import granted, revision, role_ids
from novaflow.db.schema.identity import DOMAINS, PROJECTS, USERS
from novaflow.db.schema.metadata import Key
from novaflow.identity.models import SYSTEM, Named, Owned, User
from novaflow.models import Value


class Wanted(Value, frozen=True, kw_only=True):
    """A user, project or domain as a client names it: by id, or by name with its domain's id or name."""

    id: str | None = None
    name: str | None = None
    domain_id: str | None = None
    domain_name: str | None = None


class WantedScope(Value, frozen=True, kw_only=True):
    """What the token shall be good for: at most one of these. `by_default` is the user's own project, if it has one."""

    project: Wanted | None = None
    domain: Wanted | None = None
    is_system: bool = False
    by_default: bool = False


class Scope(Value, frozen=True, kw_only=True):
    """A scope as found, with the ids of the roles the user was granted there."""

    role_ids: tuple[str, ...]
    project: Owned | None = None
    domain: Named | None = None
    is_system: bool = False


class Login(Value, frozen=True, kw_only=True):
    """Everything one login is decided upon."""

    revision: int
    user: User | None = None
    owner: Named | None = None  # the user's domain
    scope: Scope | None = None


class Logins:
    """Reads what a login needs, in at most two statements."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def find(self, user: Wanted, scope: WantedScope) -> Login:
        """The user and the scope, as far as they are there."""

        async def work(connection: AsyncConnection) -> Login:
            found = await _user(connection, user)
            if found.user is None:
                return found
            return Login(
                revision=found.revision,
                user=found.user,
                owner=found.owner,
                scope=await _scope(connection, found.user, scope),
            )

        return await self._db.read(work)


async def _user(connection: AsyncConnection, wanted: Wanted) -> Login:
    row = (await connection.execute(_user_query(_by(wanted)), msgspec.structs.asdict(wanted))).mappings().first()
    if row is None:
        return Login(revision=0)
    facts = dict(row)
    owner = Named(id=facts["domain_id"], name=facts.pop("owner_name"))
    return Login(revision=facts.pop("revision") or 0, user=User(**facts), owner=owner)


async def _scope(connection: AsyncConnection, user: User, wanted: WantedScope) -> Scope | None:
    project = wanted.project
    if project is None and wanted.by_default and user.default_project_id:
        project = Wanted(id=user.default_project_id)
    if wanted.is_system:
        row = (await connection.execute(_system_query(), {"user_id": user.id})).mappings().one()
        return Scope(role_ids=role_ids(row), is_system=True)
    if wanted.domain:
        found = await _find(connection, _domain_query(_by(wanted.domain)), user, wanted.domain)
        return Scope(domain=Named(id=found["id"], name=found["name"]), role_ids=role_ids(found)) if found else None
    if project is None:
        return None
    found = await _find(connection, _project_query(_by(project)), user, project)
    if found is None:
        return None
    home = Named(id=found["domain_id"], name=found["home_name"])
    return Scope(project=Owned(id=found["id"], name=found["name"], domain=home), role_ids=role_ids(found))


async def _find(connection: AsyncConnection, query: Select[Any], user: User, wanted: Wanted) -> RowMapping | None:
    facts = msgspec.structs.asdict(wanted) | {"user_id": user.id}
    found: RowMapping | None = (await connection.execute(query, facts)).mappings().first()
    return found


# Statements are made once: making one costs more than running it.


@cache
def _user_query(by: str) -> Select[Any]:
    return (
        select(USERS, DOMAINS.c.name.label("owner_name"), revision().label("revision"))
        .join_from(USERS, DOMAINS, DOMAINS.c.id == USERS.c.domain_id)
        .where(_is_wanted(by, USERS), USERS.c.enabled == true(), DOMAINS.c.enabled == true())
    )


@cache
def _project_query(by: str) -> Select[Any]:
    roles = granted(bindparam("user_id", type_=Key), PROJECTS.c.id, PROJECTS)
    return (
        select(PROJECTS.c.id, PROJECTS.c.name, PROJECTS.c.domain_id, DOMAINS.c.name.label("home_name"), *roles)
        .join_from(PROJECTS, DOMAINS, DOMAINS.c.id == PROJECTS.c.domain_id)
        .where(_is_wanted(by, PROJECTS), PROJECTS.c.enabled == true(), DOMAINS.c.enabled == true())
    )


@cache
def _domain_query(by: str) -> Select[Any]:
    roles = granted(bindparam("user_id", type_=Key), DOMAINS.c.id, DOMAINS)
    is_wanted = DOMAINS.c.id == bindparam("id") if by == "id" else DOMAINS.c.name == bindparam("name")
    return select(DOMAINS.c.id, DOMAINS.c.name, *roles).where(is_wanted, DOMAINS.c.enabled == true())


@cache
def _system_query() -> Select[Any]:
    return select(*granted(bindparam("user_id", type_=Key), literal(SYSTEM), None))


def _by(wanted: Wanted) -> str:
    """Which of its attributes name it."""
    if wanted.id is not None:
        return "id"
    return "domain_id" if wanted.domain_id is not None else "domain_name"


def _is_wanted(by: str, table: Table) -> ColumnElement[bool]:
    if by == "id":
        return table.c.id == bindparam("id")
    domain = DOMAINS.c.id if by == "domain_id" else DOMAINS.c.name
    return and_(table.c.name == bindparam("name"), domain == bindparam(by))
