"""Giving a server a host: room there and the server's `host` column, or the claim of its move, in one transaction, the server first."""

from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.config import Scheduler
from novaflow.db import claims, moving
from novaflow.db.grouping import hold_to
from novaflow.db.schema.compute import servers
from novaflow.db.schema.hosts import hosts
from novaflow.db.standing import lock
from novaflow.db.zones import zone_of
from novaflow.errors import TaskSuperseded
from novaflow.models import Flavor
from novaflow.states import SCHEDULING, Task, Vm, state_of


class HostFull(Exception):
    """The host has too little room now; the transaction that tried is rolled back."""


_WAITING: Final = (SCHEDULING, state_of(Vm.SHELVED_OFFLOADED, Task.UNSHELVING))
_UNMOVED: Final = frozenset({Task.RESIZE_PREP, Task.MIGRATING, Task.REBUILDING})
_ZONE: Final = (
    select(zone_of(hosts.c.name, hosts.c.availability_zone))
    .where(hosts.c.name == bindparam("b_host"))
    .scalar_subquery()
)
_PLACE: Final = (
    update(servers)
    .where(
        servers.c.id == bindparam("b_id"),
        servers.c.task_id == bindparam("b_task_id"),
        or_(*((servers.c.vm == state.vm) & (servers.c.task == state.task) for state in _WAITING)),
        servers.c.host.is_(None),
    )
    .values(
        host=bindparam("b_host"),
        availability_zone=func.coalesce(_ZONE, servers.c.availability_zone),
        updated_at=bindparam("b_now"),
        moved_at=bindparam("b_now"),
    )
)
_PLACE_OF: Final = select(servers.c.task_id, servers.c.host).where(servers.c.id == bindparam("b_id"))


async def place(
    connection: AsyncConnection,
    server_id: str,
    task_id: str,
    host: str,
    flavor: Flavor,
    ratios: Scheduler,
    now: datetime,
    group_id: str = "",
) -> None:
    """Put a server that waits for a host on `host`; fine when it is there already.

    Raises HostFull, GroupForbids, TaskSuperseded when the server is another task's or on another host.
    """
    values = {"b_id": server_id, "b_task_id": task_id, "b_host": host, "b_now": now}
    if (await connection.execute(_PLACE, values)).rowcount == 0:
        row = (await connection.execute(_PLACE_OF, {"b_id": server_id})).one_or_none()
        if row is None or (row.task_id, row.host) != (task_id, host):
            raise TaskSuperseded(server_id=server_id, task_id=task_id)
        return
    if group_id:
        await hold_to(connection, group_id, server_id, host)
    if not await claims.take(connection, host, flavor, ratios):
        raise HostFull


async def place_move(
    connection: AsyncConnection,
    server_id: str,
    task_id: str,
    host: str,
    ratios: Scheduler,
    now: datetime,
    group_id: str = "",
) -> None:
    """Claim room on `host` for a server that will move there; fine when the move has it already.

    Raises HostFull, GroupForbids, TaskSuperseded when the server is another task's, has been handed over, or has room on another host.
    """
    move = await _waiting_move(connection, server_id, task_id)
    if move is None or move.migration.claim_host not in (None, host):
        raise TaskSuperseded(server_id=server_id, task_id=task_id)
    if move.migration.claim_host is not None:
        return
    if group_id:
        await hold_to(connection, group_id, server_id, host)
    if not await moving.claim(connection, move, host, ratios, now):
        raise HostFull


async def unplace_move(connection: AsyncConnection, server_id: str, task_id: str, host: str, now: datetime) -> None:
    """Give back the claim of a move on `host`; fine when there is none. Raises TaskSuperseded when the server moved on."""
    move = await _waiting_move(connection, server_id, task_id)
    if move is None:
        raise TaskSuperseded(server_id=server_id, task_id=task_id)
    if move.migration.claim_host == host:
        await moving.unclaim(connection, move, now)


async def _waiting_move(connection: AsyncConnection, server_id: str, task_id: str) -> moving.Move | None:
    """The move of a server that has not begun to leave its host; the rows of both are locked."""
    server = await lock(connection, server_id)
    if server is None or server.task_id != task_id or server.state.task not in _UNMOVED:
        return None
    move = await moving.current(connection, server_id)
    is_ours = move is not None and move.migration.task_id == task_id and server.host == move.migration.source_host
    return move if is_ours else None
