"""The processes of the cloud, each known by its binary and its host."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

from sqlalchemy import bindparam, case, delete, exists, false, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.clock import Clock
from novaflow.db import aggregates, beats
from novaflow.db.database import Database
from novaflow.db.database_time import database_time
from novaflow.db.hosts import COMPUTE
from novaflow.db.ids import new_uuid
from novaflow.db.schema.compute import servers
from novaflow.db.schema.hosts import hosts, services
from novaflow.db.zones import zone_of
from novaflow.errors import Conflict, NotFound
from novaflow.hosts import ServiceRecord

# Of the services only the computes are put into zones by aggregates.
_ZONE: Final = case((services.c.binary == COMPUTE, zone_of(services.c.host, services.c.zone)), else_=services.c.zone)
_ALL: Final = select(*(column for column in services.c if column is not services.c.zone), _ZONE.label("zone")).order_by(
    services.c.id
)
_HOST_OF: Final = select(services.c.host).where(services.c.id == bindparam("b_id"), services.c.binary == COMPUTE)
_HOST_CHANGES: Final = update(hosts).where(hosts.c.name == bindparam("b_host")).values(changed_at=database_time())


class Services:
    """The services of the cloud, in the database."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def beat(self, binary: str, host: str, zone: str) -> None:
        """A service lives."""
        work = partial(beats.beat, binary=binary, host=host, zone=zone, new_uuid=new_uuid(), now=self._clock.now())
        await self._db.write(work)

    async def all(self, now: datetime, down_time: float) -> list[ServiceRecord]:
        """Every service in the order of arrival; one without a beat for `down_time` seconds before `now` is down."""

        async def work(connection: AsyncConnection) -> Sequence[Any]:
            return (await connection.execute(_ALL)).all()

        return [_record_of(row, now, down_time) for row in await self._db.read(work)]

    async def set_enabled(self, service_id: int, is_enabled: bool, reason: str | None) -> None:  # noqa: FBT001
        """Whether new work may go there, and if not why. Raises NotFound."""
        await self._change(service_id, is_enabled=is_enabled, disabled_reason=None if is_enabled else reason)

    async def set_forced_down(self, service_id: int, is_forced_down: bool) -> None:  # noqa: FBT001
        """Whether somebody who knows better says that it is down. Raises NotFound."""
        await self._change(service_id, is_forced_down=is_forced_down)

    async def delete(self, service_id: int) -> None:
        """Forget a service, and the host it served. If it lives, its next beat brings it back.

        Raises NotFound, and Conflict while its host has servers.
        """

        async def work(connection: AsyncConnection) -> None:
            wanted = services.c.id == service_id
            row = (await connection.execute(select(services.c.host, services.c.binary).where(wanted))).one_or_none()
            if row is None:
                raise NotFound(kind="Service", key=str(service_id))
            await connection.execute(delete(services).where(wanted))
            if row.binary == COMPUTE:
                has_servers = select(exists().where(servers.c.host == row.host, servers.c.is_deleted == false()))
                if (await connection.execute(has_servers)).scalar_one():
                    raise Conflict(reason=f"host {row.host} has servers")
                await aggregates.forget_host(connection, row.host)
                await connection.execute(delete(hosts).where(hosts.c.name == row.host))

        await self._db.write(work)

    async def _change(self, service_id: int, **values: Any) -> None:
        statement = update(services).where(services.c.id == service_id).values(**values)

        async def work(connection: AsyncConnection) -> None:
            # The host's row first, as a beat of it does; its schedulers read what has changed.
            if host := (await connection.execute(_HOST_OF, {"b_id": service_id})).scalar_one_or_none():
                await connection.execute(_HOST_CHANGES, {"b_host": host})
            if (await connection.execute(statement)).rowcount == 0:
                raise NotFound(kind="Service", key=str(service_id))

        await self._db.write(work)


def _record_of(row: Any, now: datetime, down_time: float) -> ServiceRecord:
    return ServiceRecord(
        id=row.id,
        uuid=row.uuid,
        binary=row.binary,
        host=row.host,
        zone=row.zone,
        is_enabled=row.is_enabled,
        is_forced_down=row.is_forced_down,
        is_up=beats.is_up(row.updated_at, now, down_time, is_forced_down=row.is_forced_down),
        updated_at=row.updated_at,
        disabled_reason=row.disabled_reason,
    )
