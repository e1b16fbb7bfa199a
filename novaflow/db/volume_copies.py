"""What is being copied stays until it is: a volume under its snapshot, a snapshot under the volumes that are made of it.

Whoever begins a copy and whoever deletes what is copied holds that one's row first.
"""

from typing import Final

from sqlalchemy import bindparam, exists, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.schema.volumes import volume_snapshots, volumes
from novaflow.errors import Invalid
from novaflow.volumes import Status

BEING_COPIED: Final = exists().where(
    volume_snapshots.c.volume_id == volumes.c.id, volume_snapshots.c.status == Status.CREATING
)
"""Of a volume beside its row: a snapshot of it is not there yet."""
_SOURCE: Final = select(volume_snapshots.c.status).where(volume_snapshots.c.id == bindparam("b_id")).with_for_update()
_SNAPSHOTS: Final = select(func.count()).where(
    volume_snapshots.c.volume_id == bindparam("b_id"), volume_snapshots.c.status == Status.CREATING
)
_VOLUMES: Final = select(func.count()).where(
    volumes.c.snapshot_id == bindparam("b_id"), volumes.c.status.in_((Status.CREATING, Status.RESERVED))
)


async def hold_source(connection: AsyncConnection, snapshot_id: str) -> None:
    """A volume is made of this snapshot. Raises Invalid when that has just gone."""
    if await connection.scalar(_SOURCE, {"b_id": snapshot_id}) is not Status.AVAILABLE:
        raise Invalid(reason=f"Invalid snapshot: snapshot {snapshot_id} is not available any more.")


async def refuse_losing_volume(connection: AsyncConnection, volume_id: str) -> None:
    """Raises Invalid for a volume, its row held, of which a snapshot is being made."""
    if await connection.scalar(_SNAPSHOTS, {"b_id": volume_id}):
        raise Invalid(reason=f"Invalid volume: a snapshot of volume {volume_id} is being made.")


async def refuse_losing_snapshot(connection: AsyncConnection, snapshot_id: str) -> None:
    """Raises Invalid for a snapshot, its row held, of which a volume is being made."""
    if await connection.scalar(_VOLUMES, {"b_id": snapshot_id}):
        raise Invalid(reason=f"Invalid snapshot: a volume of snapshot {snapshot_id} is being made.")
