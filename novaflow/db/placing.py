"""Putting a server on a host: room on the host and the server's `host` column, in one transaction, the server first."""

from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.config import Scheduler
from novaflow.db import claims
from novaflow.db.schema.compute import servers
from novaflow.db.schema.hosts import hosts
from novaflow.errors import TaskSuperseded
from novaflow.models import Flavor
from novaflow.states import SCHEDULING


class HostFull(Exception):
    """The host has too little room now; the transaction that tried is rolled back."""


_ZONE: Final = select(hosts.c.availability_zone).where(hosts.c.name == bindparam("b_host")).scalar_subquery()
_PLACE: Final = (
    update(servers)
    .where(
        servers.c.id == bindparam("b_id"),
        servers.c.task_id == bindparam("b_task_id"),
        servers.c.vm == SCHEDULING.vm,
        servers.c.task == SCHEDULING.task,
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
) -> None:
    """Put a server that waits for a host on `host`; fine when it is there already.

    Raises HostFull, TaskSuperseded when the server is another task's or on another host.
    """
    values = {"b_id": server_id, "b_task_id": task_id, "b_host": host, "b_now": now}
    if (await connection.execute(_PLACE, values)).rowcount == 0:
        row = (await connection.execute(_PLACE_OF, {"b_id": server_id})).one_or_none()
        if row is None or (row.task_id, row.host) != (task_id, host):
            raise TaskSuperseded(server_id=server_id, task_id=task_id)
    elif not await claims.take(connection, host, flavor, ratios):
        raise HostFull
