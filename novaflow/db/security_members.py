"""Which servers are in which security groups: from the transaction that makes a server to the one that deletes it.

Whoever adds a server shares the rows of its groups, so that none of them is deleted meanwhile; several servers may join at once.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, delete, false, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.database import Database
from novaflow.db.inserts import insert_once
from novaflow.db.schema.compute import servers
from novaflow.db.schema.networking import security_group_members, security_groups
from novaflow.db.security_groups import DEFAULT, KIND, default_group
from novaflow.errors import Conflict, Invalid, NotFound
from novaflow.models import Context
from novaflow.security_groups import GroupName

_SHARE: Final = (
    select(security_groups.c.id, security_groups.c.name)
    .where(
        security_groups.c.project_id == bindparam("b_project"),
        security_groups.c.name.in_(bindparam("b_names", expanding=True)),
    )
    .with_for_update(read=True)
)
_MAKE: Final = insert(security_groups)
_JOIN: Final = insert(security_group_members)
_LEAVE: Final = delete(security_group_members).where(security_group_members.c.server_id == bindparam("b_id"))
_LEAVE_ONE: Final = _LEAVE.where(security_group_members.c.group_id == bindparam("b_group"))
_PROJECT: Final = (
    select(servers.c.project_id)
    .where(servers.c.id == bindparam("b_id"), servers.c.is_deleted == false())
    .with_for_update()
)
_GROUPS: Final = (
    select(security_group_members.c.server_id, security_groups.c.id, security_groups.c.name)
    .join_from(security_group_members, security_groups, security_groups.c.id == security_group_members.c.group_id)
    .where(security_group_members.c.server_id.in_(bindparam("b_ids", expanding=True)))
    .order_by(security_groups.c.id)
)


class SecurityMembers:
    """Servers' places in security groups, in the database."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def groups(self, server_ids: Sequence[str]) -> dict[str, list[GroupName]]:
        """The groups that these servers are in, by server; one in none is not there."""

        async def work(connection: AsyncConnection) -> Sequence[Any]:
            return (await connection.execute(_GROUPS, {"b_ids": server_ids})).all()

        found: dict[str, list[GroupName]] = {}
        for server_id, group_id, name in await self._db.read(work) if server_ids else ():
            found.setdefault(server_id, []).append(GroupName(id=group_id, name=name))
        return found

    async def names(self, server_ids: Sequence[str]) -> dict[str, list[str]]:
        """The same by their names alone."""
        found = await self.groups(server_ids)
        return {server_id: [group.name for group in some] for server_id, some in found.items()}

    async def add(self, server_id: str, name: str) -> None:
        """Put a server into a group of its project. Raises NotFound for either, Conflict when it is in it."""

        async def work(connection: AsyncConnection) -> None:
            group_id = await _group_of_servers_project(connection, server_id, name)
            if not await insert_once(connection, _JOIN, {"server_id": server_id, "group_id": group_id}):
                raise Conflict(reason=f"Security group {name} is already associated with the instance {server_id}")

        await self._db.write(work)

    async def remove(self, server_id: str, name: str) -> None:
        """Take a server out of a group. Raises NotFound for either, Conflict when it is not in it."""

        async def work(connection: AsyncConnection) -> None:
            group_id = await _group_of_servers_project(connection, server_id, name)
            if (await connection.execute(_LEAVE_ONE, {"b_id": server_id, "b_group": group_id})).rowcount == 0:
                raise Conflict(reason=f"Security group {name} is not associated with the instance {server_id}")

        await self._db.write(work)


async def join(
    connection: AsyncConnection, context: Context, names: Collection[str], server_ids: Sequence[str], now: datetime
) -> None:
    """Put new servers of the caller's project into its groups of these names; of none, into the default one.

    The default group is made when it is not there. Raises Invalid for any other that is not.
    """
    wanted = set(names) or {DEFAULT}
    found = await _share(connection, context.project_id, wanted)
    if DEFAULT in wanted and DEFAULT not in found:
        await insert_once(connection, _MAKE, default_group(context, now))
        found |= await _share(connection, context.project_id, {DEFAULT})
    if unknown := wanted - found.keys():
        raise Invalid(reason=f"Security group {min(unknown)} not found.")
    rows = [{"server_id": server_id, "group_id": found[name]} for server_id in server_ids for name in sorted(wanted)]
    await connection.execute(_JOIN, rows if len(rows) > 1 else rows[0])


async def leave(connection: AsyncConnection, server_id: str) -> None:
    """Take a server out of all its groups."""
    await connection.execute(_LEAVE, {"b_id": server_id})


async def _group_of_servers_project(connection: AsyncConnection, server_id: str, name: str) -> int:
    """The id of a group, shared; the server's row is locked, so that it is not deleted meanwhile."""
    project_id = (await connection.execute(_PROJECT, {"b_id": server_id})).scalar_one_or_none()
    if project_id is None:
        raise NotFound(kind="Instance", key=server_id)
    found = await _share(connection, project_id, {name})
    if name not in found:
        raise NotFound(kind=KIND, key=name)
    return found[name]


async def _share(connection: AsyncConnection, project_id: str, names: Collection[str]) -> dict[str, int]:
    rows = await connection.execute(_SHARE, {"b_project": project_id, "b_names": sorted(names)})
    return {row.name: row.id for row in rows}
