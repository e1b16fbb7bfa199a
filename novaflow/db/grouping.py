"""Holding to the policy of a server's group when it is given a host.

Schedulers choose by what they saw a moment ago, several at the same time. So the claim looks again with the group's row locked: of two
servers of a group that want their hosts now, the second sees where the first one went. Rows are locked in the order server,
migration, group, host.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import bindparam, false, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.schema.aggregates import server_group_members, server_groups
from novaflow.db.schema.compute import migrations, servers
from novaflow.placement.asking import Group, said
from novaflow.placement.rules.groups import HARD, forbidden

_GROUP: Final = (
    select(server_groups.c.policy, server_groups.c.max_server_per_host)
    .join_from(server_group_members, server_groups, server_groups.c.id == server_group_members.c.group_id)
    .where(
        server_group_members.c.server_id == bindparam("b_id"),
        server_group_members.c.group_id == bindparam("b_group"),
    )
)
_LOCK: Final = (
    select(server_groups.c.policy, server_groups.c.max_server_per_host)
    .where(server_groups.c.id == bindparam("b_group"))
    .with_for_update()
)
_OTHERS: Final = select(server_group_members.c.server_id).where(
    server_group_members.c.group_id == bindparam("b_group"), server_group_members.c.server_id != bindparam("b_id")
)
# A server that moves is on two hosts: it may stay on either.
_HOMES: Final = union_all(
    select(servers.c.id, servers.c.host).where(
        servers.c.id.in_(_OTHERS), servers.c.is_deleted == false(), servers.c.host.is_not(None)
    ),
    select(migrations.c.server_id, migrations.c.claim_host).where(
        migrations.c.server_id.in_(_OTHERS), migrations.c.claim_host.is_not(None)
    ),
)
_HOSTS_OF: Final = select(servers.c.id, servers.c.host).where(
    servers.c.id.in_(bindparam("b_ids", expanding=True)), servers.c.is_deleted == false(), servers.c.host.is_not(None)
)


class GroupForbids(Exception):
    """The policy of its group keeps the server from this host; the transaction that tried is rolled back."""


async def hold_to(connection: AsyncConnection, group_id: str, server_id: str, host: str) -> None:
    """Lock a server's group, and raise GroupForbids when its policy does not let the server be on `host`.

    A group that is gone forbids nothing. A soft policy is for the weighers.
    """
    names = {"b_group": group_id, "b_id": server_id}
    row = (await connection.execute(_LOCK, names)).one_or_none()
    if row is None or row.policy not in HARD:
        return
    group = Group(row.policy, await _homes(connection, group_id, server_id), row.max_server_per_host)
    if refusal := forbidden(group, host):
        raise GroupForbids(said("", refusal))


async def group_of(connection: AsyncConnection, group_id: str, server_id: str) -> Group | None:
    """The group of a server and where its others are now; None when the server is not in it."""
    row = (await connection.execute(_GROUP, {"b_group": group_id, "b_id": server_id})).one_or_none()
    if row is None:
        return None
    return Group(row.policy, await _homes(connection, group_id, server_id), row.max_server_per_host)


async def hosts_of(connection: AsyncConnection, server_ids: Sequence[str]) -> dict[str, str]:
    """The hosts of those of these servers that are on one, by server."""
    rows = await connection.execute(_HOSTS_OF, {"b_ids": list(server_ids)})
    return {row.id: row.host for row in rows}


async def _homes(connection: AsyncConnection, group_id: str, server_id: str) -> dict[str, int]:
    """How many of the group's other servers each host has."""
    rows = await connection.execute(_HOMES, {"b_group": group_id, "b_id": server_id})
    counts: dict[str, int] = {}
    for _, host in {tuple(row) for row in rows}:
        counts[host] = counts.get(host, 0) + 1
    return counts
