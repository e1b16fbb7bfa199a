"""Whether what a host has of a server is wanted there: the question audits ask before they remove anything."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, false, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.moving import IN_FLIGHT
from novaflow.db.records import SERVER_COLUMNS, server_of
from novaflow.db.schema.compute import migrations, servers
from novaflow.hosts import Verdict
from novaflow.models import Server
from novaflow.states import Task, Vm

_PLACED: Final = select(servers.c.id, servers.c.host, servers.c.is_deleted).where(
    servers.c.id.in_(bindparam("b_ids", expanding=True))
)
_MOVING: Final = select(migrations.c.server_id).where(
    migrations.c.server_id.in_(bindparam("b_ids", expanding=True)),
    migrations.c.status.in_(IN_FLIGHT),
    or_(migrations.c.source_host == bindparam("b_host"), migrations.c.dest_host == bindparam("b_host")),
)
_IDLE: Final = (
    select(*SERVER_COLUMNS)
    .where(
        servers.c.vm == bindparam("b_vm"),
        servers.c.task == Task.IDLE,
        servers.c.task_id.is_(None),
        servers.c.is_deleted == false(),
        servers.c.moved_at <= bindparam("b_before"),
    )
    .order_by(servers.c.moved_at)
    .limit(bindparam("b_limit"))
)


_BUILDING: Final = (
    select(*SERVER_COLUMNS)
    .where(
        servers.c.vm == Vm.BUILDING,
        servers.c.task != Task.DELETING,
        servers.c.is_deleted == false(),
        servers.c.created_at <= bindparam("b_before"),
    )
    .order_by(servers.c.created_at)
    .limit(bindparam("b_limit"))
)


async def judge(connection: AsyncConnection, host: str, server_ids: Sequence[str]) -> dict[str, Verdict]:
    """A verdict on each of these servers. A server that moves is spared on both of its hosts."""
    verdicts = dict.fromkeys(server_ids, Verdict.UNKNOWN)
    if not verdicts:
        return {}
    ids: dict[str, Any] = {"b_ids": list(verdicts)}
    for row in await connection.execute(_PLACED, ids):
        is_here = row.host == host and not row.is_deleted
        verdicts[row.id] = Verdict.PLACED if is_here else Verdict.UNWANTED
    for row in await connection.execute(_MOVING, ids | {"b_host": host}):
        verdicts[row.server_id] = Verdict.MOVING
    return verdicts


async def idle_since(connection: AsyncConnection, vm: Vm, before: datetime, limit: int) -> list[Server]:
    """Servers that have been in this state, with nothing being done to them, since `before` or longer; the longest first."""
    rows = await connection.execute(_IDLE, {"b_vm": vm, "b_before": before, "b_limit": limit})
    return [server_of(row) for row in rows]


async def building_since(connection: AsyncConnection, before: datetime, limit: int) -> list[Server]:
    """Servers that were made before `before` and are still being built; the oldest first."""
    return [server_of(row) for row in await connection.execute(_BUILDING, {"b_before": before, "b_limit": limit})]
