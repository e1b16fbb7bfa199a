"""Volumes that a server shall have from its first boot: booked in the transaction that makes the server, its own when its guest runs.

A booked volume is nobody else's, and no order: the build of its server makes it. If that fails for good, it is given back.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.data_disks import NewDisk
from novaflow.db import volume_usage
from novaflow.db.ids import new_uuid
from novaflow.db.schema.compute import servers
from novaflow.db.schema.volumes import volume_snapshots, volumes
from novaflow.db.volume_copies import hold_source
from novaflow.errors import Conflict, Invalid
from novaflow.models import BuildVolume, Context
from novaflow.quotas import QuotaLimits, Usage
from novaflow.volumes import ATTACHED, Status

_ADD: Final = insert(volumes)
_BOOK: Final = (
    update(volumes)
    .where(
        volumes.c.id == bindparam("b_id"),
        volumes.c.project_id == bindparam("b_project"),
        volumes.c.status == Status.AVAILABLE,
        func.coalesce(volumes.c.host, bindparam("b_host")) == bindparam("b_host"),
    )
    .values(
        status=Status.RESERVED,
        server_id=bindparam("b_server"),
        device=bindparam("b_device"),
        attached_at=bindparam("b_now"),
        updated_at=bindparam("b_now"),
        order_id=bindparam("b_order"),
        delete_on_termination=bindparam("b_doomed"),
        fault="",
    )
)
_BOOKED: Final = (volumes.c.server_id == bindparam("b_server"), volumes.c.status == Status.RESERVED)
_PLANNED: Final = (
    select(volumes.c.id, volumes.c.size_gb, volume_snapshots.c.id.label("content"), volumes.c.device, volumes.c.host)
    .join_from(
        volumes,
        volume_snapshots,
        (volume_snapshots.c.id == volumes.c.snapshot_id) & volume_snapshots.c.host.is_not(None),
        isouter=True,
    )
    .where(*_BOOKED)
)
"""The content is a snapshot's; one of no host is of a volume that nobody had written to."""
_TAKE: Final = (
    update(volumes)
    .where(*_BOOKED)
    .values(
        status=Status.IN_USE, host=bindparam("b_host"), attached_at=bindparam("b_now"), updated_at=bindparam("b_now")
    )
)
BOOKED: Final = (
    select(func.count())
    .where(volumes.c.server_id == servers.c.id, volumes.c.status.in_(ATTACHED))
    .correlate(servers)
    .scalar_subquery()
)
"""How many volumes a server has, beside its row."""


async def book(
    connection: AsyncConnection,
    context: Context,
    server_id: str,
    disks: Sequence[NewDisk],
    limits: QuotaLimits,
    now: datetime,
) -> None:
    """Make the new volumes and take the others for a server that is being made.

    Raises QuotaExceeded, Invalid for a volume that is not available any more, Conflict for one that is on another host now.
    """
    for disk in disks:
        if disk.is_new:
            await _add(connection, context, server_id, disk, limits, now)
        else:
            await _book(connection, context, server_id, disk, now)


async def planned(connection: AsyncConnection, server_id: str) -> tuple[BuildVolume, ...]:
    """What the build of this server has to make its disks of."""
    rows = await connection.execute(_PLANNED.order_by(volumes.c.device), {"b_server": server_id})
    return tuple(
        BuildVolume(id=row.id, size_gb=row.size_gb, snapshot_id=row.content or "", device=row.device, host=row.host)
        for row in rows
    )


async def take(connection: AsyncConnection, server_id: str, host: str, now: datetime) -> None:
    """The server's guest runs on this host, and has them."""
    await connection.execute(_TAKE, {"b_server": server_id, "b_host": host, "b_now": now})


async def _add(
    connection: AsyncConnection,
    context: Context,
    server_id: str,
    disk: NewDisk,
    limits: QuotaLimits,
    now: datetime,
) -> None:
    row = {
        "id": disk.volume_id,
        "project_id": context.project_id,
        "user_id": context.user_id,
        "name": "",
        "description": "",
        "metadata": {},
        "size_gb": disk.size_gb,
        "status": Status.RESERVED,
        "is_deleted": False,
        "host": disk.host,
        "order_id": new_uuid(),
        "ordered_at": now,
        "orders": 0,
        "fault": "",
        "created_at": now,
        "updated_at": now,
        "availability_zone": disk.availability_zone,
        "snapshot_id": disk.snapshot_id,
        "server_id": server_id,
        "device": disk.device,
        "attached_at": now,
        "delete_on_termination": disk.delete_on_termination,
    }
    await volume_usage.add(connection, _ADD, row, Usage(volumes=1, gigabytes=disk.size_gb), limits)
    if disk.snapshot_id:  # after the usages, as whoever makes a volume of it alone holds them
        await hold_source(connection, disk.snapshot_id)


async def _book(connection: AsyncConnection, context: Context, server_id: str, disk: NewDisk, now: datetime) -> None:
    values = {
        "b_id": disk.volume_id,
        "b_project": context.project_id,
        "b_host": disk.host or "",
        "b_server": server_id,
        "b_device": disk.device,
        "b_now": now,
        "b_order": new_uuid(),
        "b_doomed": disk.delete_on_termination,
    }
    if (await connection.execute(_BOOK, values)).rowcount == 1:
        return
    status = await connection.scalar(select(volumes.c.status).where(volumes.c.id == disk.volume_id))
    if status is Status.AVAILABLE:
        raise Conflict(reason=f"Invalid volume: volume {disk.volume_id} was given to another host meanwhile.")
    text = f"volume '{disk.volume_id}' status must be 'available'. Currently in '{status}' status."
    raise Invalid(reason=f"Invalid volume: {text}")
