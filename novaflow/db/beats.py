"""Signs of life of services, and what they mean."""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import bindparam, func, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.inserts import insert_once
from novaflow.db.schema.hosts import services

DEFAULT_ZONE: Final = "nova"

_BEAT: Final = (
    update(services)
    .where(services.c.binary == bindparam("b_binary"), services.c.host == bindparam("b_host"))
    .values(
        zone=func.coalesce(bindparam("b_zone", type_=services.c.zone.type), services.c.zone),
        updated_at=bindparam("b_now"),
    )
)
_ADD: Final = insert(services)


async def beat(
    connection: AsyncConnection, binary: str, host: str, zone: str | None, *, new_uuid: str, now: datetime
) -> None:
    """Note that a service lives, making its record (with id `new_uuid`) if it is new. A zone of None stays as it is."""
    values = {"b_binary": binary, "b_host": host, "b_zone": zone, "b_now": now}
    if (await connection.execute(_BEAT, values)).rowcount:
        return
    fresh = {
        "uuid": new_uuid,
        "binary": binary,
        "host": host,
        "zone": zone or DEFAULT_ZONE,
        "is_enabled": True,
        "is_forced_down": False,
        "disabled_reason": None,
        "created_at": now,
        "updated_at": now,
    }
    if not await insert_once(connection, _ADD, fresh):
        await connection.execute(_BEAT, values)


def is_up(seen: datetime | None, now: datetime, down_time: float, *, is_forced_down: bool) -> bool:
    """Whether a service last `seen` then counts as alive."""
    return seen is not None and not is_forced_down and now - seen <= timedelta(seconds=down_time)
