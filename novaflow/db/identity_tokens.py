"""Tokens in the database: one conditional insert to issue, one indexed select to validate.

A token is valid while its row is there, its time is not over, and its user, project and domains are enabled. Whatever takes a
right away deletes the rows it ends in its own transaction; issuing reads the rows it relies on with a shared
lock in the very statement that inserts, so no token slips in beside such a change.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Insert,
    Select,
    bindparam,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    true,
)
from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.database import Database
from novaflow.db.identity_records import REVISION_ROW
from novaflow.db.schema.identity import DOMAINS, GRANTS, MEMBERSHIPS, PROJECTS, REVISION, TOKENS, USERS
from novaflow.db.schema.metadata import Key
from novaflow.errors import Unauthorized
from novaflow.identity.models import SYSTEM, Claims, Named, Owned
from novaflow.models import Value

_PURGE_ROWS: Final = 500  # deleted in one transaction


class Found(Value, frozen=True, kw_only=True):
    """A valid token as stored: claims without role names, which follow from `role_ids` at `revision`."""

    claims: Claims
    role_ids: tuple[str, ...]
    revision: int


def revision() -> ColumnElement[int]:
    """The count of changes of roles and catalogue, as a column of any statement."""
    return select(REVISION.c.number).where(REVISION.c.id == REVISION_ROW).scalar_subquery()


def granted(
    actor: ColumnElement[str], target: ColumnElement[Any], source: FromClause | None
) -> list[ColumnElement[Any]]:
    """Two columns with the ids, separated by commas, of the roles an actor has on a target: its own and its groups'."""
    own = select(func.group_concat(GRANTS.c.role_id)).where(GRANTS.c.actor_id == actor, GRANTS.c.target_id == target)
    shared = (
        select(func.group_concat(GRANTS.c.role_id))
        .select_from(MEMBERSHIPS.join(GRANTS, GRANTS.c.actor_id == MEMBERSHIPS.c.group_id))
        .where(MEMBERSHIPS.c.user_id == actor, GRANTS.c.target_id == target)
    )
    sources = () if source is None else (source,)
    return [
        own.correlate(*sources).scalar_subquery().label("own_roles"),
        shared.correlate(*sources).scalar_subquery().label("shared_roles"),
    ]


def role_ids(row: RowMapping) -> tuple[str, ...]:
    """The role ids that `granted` found, each once."""
    texts = (row["own_roles"], row["shared_roles"])
    return tuple(dict.fromkeys(key for text in texts if text for key in text.split(",")))


def _validation() -> Select[Any]:
    """Everything there is to know of tokens by their digests, in one statement."""
    owner, home = DOMAINS.alias("owner"), DOMAINS.alias("home")
    target = func.coalesce(TOKENS.c.project_id, TOKENS.c.domain_id, case((TOKENS.c.is_system, SYSTEM)))
    tables = (
        TOKENS.join(USERS, USERS.c.id == TOKENS.c.user_id)
        .join(owner, owner.c.id == USERS.c.domain_id)
        .outerjoin(PROJECTS, PROJECTS.c.id == TOKENS.c.project_id)
        .outerjoin(home, or_(home.c.id == PROJECTS.c.domain_id, home.c.id == TOKENS.c.domain_id))
    )
    return (
        select(
            TOKENS,
            USERS.c.name.label("user_name"),
            USERS.c.epoch,
            owner.c.id.label("owner_id"),
            owner.c.name.label("owner_name"),
            PROJECTS.c.name.label("project_name"),
            home.c.id.label("home_id"),
            home.c.name.label("home_name"),
            revision().label("revision"),
            *granted(TOKENS.c.user_id, target, TOKENS),
        )
        .select_from(tables)
        .where(
            TOKENS.c.digest.in_(bindparam("digests", expanding=True)),
            TOKENS.c.expires_at > bindparam("now"),
            USERS.c.enabled == true(),
            owner.c.enabled == true(),
            or_(PROJECTS.c.id.is_(None), PROJECTS.c.enabled == true()),
            or_(home.c.id.is_(None), home.c.enabled == true()),
        )
    )


class Tokens:
    """The stored tokens."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._validation = _validation()

    async def issue(self, claims: Claims) -> None:
        """Store a token. Raises Unauthorized if the user, its rights or what they lie on changed since they were read."""
        statement = _issue("project" if claims.project else "domain" if claims.domain else "")

        async def work(connection: AsyncConnection) -> bool:
            try:
                return (await connection.execute(statement, _row(claims))).rowcount == 1
            except IntegrityError:
                # A run whose end was lost has stored it: no one else makes this digest.
                stored = await connection.execute(select(TOKENS.c.digest).where(TOKENS.c.digest == claims.digest))
                return stored.first() is not None

        if not await self._db.write(work):
            raise Unauthorized

    async def find(self, digests: Collection[str], now: datetime) -> dict[str, Found]:
        """The valid ones among tokens, by digest."""

        async def work(connection: AsyncConnection) -> dict[str, Found]:
            rows = await connection.execute(self._validation, {"digests": list(digests), "now": now})
            return {row["digest"]: _found(row) for row in rows.mappings()}

        return await self._db.read(work)

    async def revoke(self, digest: str) -> None:
        """End one token; nothing happens if there is none."""

        async def work(connection: AsyncConnection) -> None:
            await end_tokens(connection, TOKENS.c.digest == digest)

        await self._db.write(work)

    async def purge(self, now: datetime) -> int:
        """Forget tokens whose time is over, a bounded number at once; says how many."""
        query = select(TOKENS.c.digest).where(TOKENS.c.expires_at <= now).limit(_PURGE_ROWS)

        async def expired(connection: AsyncConnection) -> Sequence[str]:
            return (await connection.execute(query)).scalars().all()

        digests = await self._db.read(expired)

        async def work(connection: AsyncConnection) -> None:
            await end_tokens(connection, TOKENS.c.digest.in_(digests))

        if digests:
            await self._db.write(work)
        return len(digests)


async def end_tokens(connection: AsyncConnection, *which: ColumnElement[bool]) -> None:
    """End the tokens that answer to all of `which`, within the transaction that takes their right away."""
    await connection.execute(delete(TOKENS).where(*which))


@cache
def _issue(scope: str) -> Insert:
    """Insert one row with a token's columns, if all it relies on is still so; what it reads is locked against change."""
    owner, home = DOMAINS.alias("owner"), DOMAINS.alias("home")
    wanted = [USERS.c.id == bindparam("new_user_id"), USERS.c.epoch == bindparam("new_epoch")]
    wanted += [USERS.c.enabled == true(), owner.c.enabled == true()]
    if scope == "project":
        within = PROJECTS.join(home, home.c.id == PROJECTS.c.domain_id)
        named = PROJECTS.c.id == bindparam("new_project_id", type_=Key)
        is_open = select(PROJECTS.c.id).select_from(within).where(named, PROJECTS.c.enabled, home.c.enabled)
        wanted.append(is_open.with_for_update(read=True).exists())
    elif scope == "domain":
        named = home.c.id == bindparam("new_domain_id", type_=Key)
        wanted.append(select(home.c.id).where(named, home.c.enabled).with_for_update(read=True).exists())
    values = [bindparam(f"new_{column.name}", type_=column.type) for column in TOKENS.c]
    tables = USERS.join(owner, owner.c.id == USERS.c.domain_id)
    row = select(*values).select_from(tables).where(*wanted).with_for_update(read=True)
    return insert(TOKENS).from_select([column.name for column in TOKENS.c], row)


def _row(claims: Claims) -> dict[str, Any]:
    return {
        "new_digest": claims.digest,
        "new_user_id": claims.user.id,
        "new_epoch": claims.epoch,
        "new_project_id": claims.project.id if claims.project else None,
        "new_domain_id": claims.domain.id if claims.domain else None,
        "new_is_system": claims.is_system,
        "new_methods": ",".join(claims.methods),
        "new_audit_ids": ",".join(claims.audit_ids),
        "new_issued_at": claims.issued_at,
        "new_expires_at": claims.expires_at,
    }


def _found(row: RowMapping) -> Found:
    home = Named(id=row["home_id"], name=row["home_name"]) if row["home_id"] else None
    project = row["project_id"]
    claims = Claims(
        digest=row["digest"],
        user=Owned(
            id=row["user_id"],
            name=row["user_name"],
            domain=Named(id=row["owner_id"], name=row["owner_name"]),
        ),
        methods=tuple(row["methods"].split(",")),
        audit_ids=tuple(row["audit_ids"].split(",")),
        issued_at=row["issued_at"],
        expires_at=row["expires_at"],
        epoch=row["epoch"],
        project=Owned(id=project, name=row["project_name"], domain=home) if project and home else None,
        domain=home if row["domain_id"] else None,
        is_system=row["is_system"],
    )
    return Found(claims=claims, role_ids=role_ids(row), revision=row["revision"] or 0)
