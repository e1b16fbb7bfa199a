"""Server groups and who is in them.

A server joins its group in the transaction that makes it and leaves in the one that deletes it. Whoever adds members holds the group's
row, so that of many at the limit those that fit succeed, and nobody joins a group that is being deleted.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db import limits, usages
from novaflow.db.database import Database
from novaflow.db.inserts import insert_once
from novaflow.db.schema.aggregates import server_group_members, server_groups
from novaflow.db.schema.compute import servers
from novaflow.errors import Invalid, LimitExceeded, NotFound
from novaflow.models import Context, ServerGroup
from novaflow.quotas import NO_LIMIT, QuotaLimits, Usage, refusal

KIND: Final = "Instance group"
_FIELDS: Final = tuple(name for name in ServerGroup.__struct_fields__ if name != "members")
_ALL: Final = select(*(server_groups.c[name] for name in _FIELDS)).order_by(
    server_groups.c.created_at, server_groups.c.id
)
_ONE: Final = _ALL.where(server_groups.c.id == bindparam("b_id"))
_COUNT: Final = select(func.count()).where(server_groups.c.project_id == bindparam("b_project"))
_COUNT_OF_USER: Final = _COUNT.where(server_groups.c.user_id == bindparam("b_user"))
_ADD: Final = insert(server_groups)
_DELETE: Final = delete(server_groups).where(server_groups.c.id == bindparam("b_id"))
_HOLD: Final = select(server_groups.c.project_id).where(server_groups.c.id == bindparam("b_id")).with_for_update()
_MEMBERS: Final = select(server_group_members.c.group_id, server_group_members.c.server_id).order_by(
    server_group_members.c.server_id
)
_MEMBERS_OF_USER: Final = (
    select(func.count())
    .join_from(server_group_members, servers, servers.c.id == server_group_members.c.server_id)
    .where(server_group_members.c.group_id == bindparam("b_id"), servers.c.user_id == bindparam("b_user"))
)
_JOIN: Final = insert(server_group_members)
_LEAVE: Final = delete(server_group_members).where(server_group_members.c.server_id == bindparam("b_id"))
_DISSOLVE: Final = delete(server_group_members).where(server_group_members.c.group_id == bindparam("b_id"))


class ServerGroups:
    """The server groups of the cloud, in the database."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def create(self, group: ServerGroup, defaults: QuotaLimits) -> ServerGroup:
        """Add a group that has no members yet. Raises QuotaExceeded."""
        if group.created_at is None:
            raise ValueError("a group is recorded with the time it was made")
        values = {name: getattr(group, name) for name in _FIELDS}
        who = {"b_project": group.project_id, "b_user": group.user_id}

        async def work(connection: AsyncConnection) -> None:
            await usages.hold(connection, group.project_id)
            if not await insert_once(connection, _ADD, values):
                return  # this write runs again
            found = await limits.read(connection, defaults, project_id=group.project_id, user_id=group.user_id)
            for query, enforced in ((_COUNT, found.project), (_COUNT_OF_USER, found.enforced_on_user)):
                others = (await connection.execute(query, who)).scalar_one() - 1
                if refused := refusal(Usage(server_groups=others), enforced, Usage(server_groups=1)):
                    raise refused

        await self._db.write(work)
        return group

    async def list(self, project_id: str | None = None) -> list[ServerGroup]:
        """The groups of one project, or of all, the oldest first."""
        query = _ALL if project_id is None else _ALL.where(server_groups.c.project_id == project_id)

        async def work(connection: AsyncConnection) -> list[ServerGroup]:
            return await _with_members(connection, (await connection.execute(query)).all())

        return await self._db.read(work)

    async def get(self, group_id: str) -> ServerGroup:
        """One group. Raises NotFound."""

        async def work(connection: AsyncConnection) -> list[ServerGroup]:
            return await _with_members(connection, (await connection.execute(_ONE, {"b_id": group_id})).all())

        found = await self._db.read(work)
        if not found:
            raise NotFound(kind=KIND, key=group_id)
        return found[0]

    async def delete(self, group_id: str) -> None:
        """Remove a group; its servers stay. Raises NotFound."""

        async def work(connection: AsyncConnection) -> None:
            if (await connection.execute(_DELETE, {"b_id": group_id})).rowcount == 0:
                raise NotFound(kind=KIND, key=group_id)
            await connection.execute(_DISSOLVE, {"b_id": group_id})

        await self._db.write(work)


async def join(
    connection: AsyncConnection, context: Context, group_id: str, server_ids: Sequence[str], defaults: QuotaLimits
) -> None:
    """Put new servers of a user into a group of his project.

    Raises Invalid when there is no such group (any more), LimitExceeded when the user has too many servers in it.
    """
    project_id = (await connection.execute(_HOLD, {"b_id": group_id})).scalar_one_or_none()
    if project_id != context.project_id:
        raise Invalid(reason=str(NotFound(kind=KIND, key=group_id)))
    rows = [{"group_id": group_id, "server_id": server_id} for server_id in server_ids]
    await connection.execute(_JOIN, rows)
    found = await limits.read(connection, defaults, project_id=project_id, user_id=context.user_id)
    limit = found.user.server_group_members
    who = {"b_id": group_id, "b_user": context.user_id}
    if limit != NO_LIMIT and (await connection.execute(_MEMBERS_OF_USER, who)).scalar_one() > limit:
        raise LimitExceeded(reason="Quota exceeded, too many servers in group")


async def leave(connection: AsyncConnection, server_id: str) -> None:
    """Take a server out of its group, if it is in one."""
    await connection.execute(_LEAVE, {"b_id": server_id})


async def _with_members(connection: AsyncConnection, rows: Sequence[Any]) -> list[ServerGroup]:
    groups = [ServerGroup(**dict(zip(_FIELDS, row, strict=True))) for row in rows]
    if not groups:
        return []
    mine = server_group_members.c.group_id.in_([group.id for group in groups])
    members: dict[str, list[str]] = {}
    for group_id, server_id in await connection.execute(_MEMBERS.where(mine)):
        members.setdefault(group_id, []).append(server_id)
    return [msgspec.structs.replace(group, members=tuple(members.get(group.id, ()))) for group in groups]
