"""The compute hosts: what they have, what is claimed of it, and whether they live.

A host lives as its `nova-compute` service does: the same beat, in the same transaction, keeps both. So disabling or
forcing down the service is seen by whoever looks for a host.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

from sqlalchemy import and_, bindparam, case, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.clock import Clock
from novaflow.db import beats, claims
from novaflow.db.database import Database
from novaflow.db.database_time import database_time
from novaflow.db.ids import new_uuid
from novaflow.db.inserts import insert_once
from novaflow.db.schema.hosts import hosts, services
from novaflow.db.zones import zone_of
from novaflow.errors import NotFound
from novaflow.hosts import Host, HostResources
from novaflow.models import Value

COMPUTE: Final = "nova-compute"
_DOWN_TIME: Final = 60.0  # seconds, as config.Compute.service_down_time


class HostStatistics(Value, frozen=True, kw_only=True):
    """What all enabled hosts have together."""

    count: int
    servers: int
    vcpus: int
    vcpus_used: int
    ram_mb: int
    ram_mb_used: int
    disk_gb: int
    disk_gb_used: int


# What a host's row says of it, and what its service's does.
OF_HOST: Final = (
    hosts.c.id,
    hosts.c.name,
    hosts.c.resources,
    hosts.c.vcpus_used,
    hosts.c.ram_mb_used,
    hosts.c.disk_gb_used,
    hosts.c.servers,
)
OF_SERVICE: Final = (services.c.is_enabled, services.c.is_forced_down, services.c.updated_at)
IS_ITS_SERVICE: Final = and_(services.c.host == hosts.c.name, services.c.binary == COMPUTE)
_NAMES: Final = tuple(column.name for column in OF_HOST)
_ALL: Final = (
    select(*OF_HOST, zone_of(hosts.c.name, hosts.c.availability_zone).label("availability_zone"), *OF_SERVICE)
    .join_from(hosts, services, IS_ITS_SERVICE, isouter=True)
    .order_by(hosts.c.name)
)
_ONE: Final = _ALL.where(or_(hosts.c.id == bindparam("b_key"), hosts.c.name == bindparam("b_key")))
_SUMS: Final = (
    select(
        func.count(),
        *(
            func.coalesce(func.sum(hosts.c[name]), 0)
            for name in ("servers", "vcpus", "vcpus_used", "ram_mb", "ram_mb_used", "disk_gb", "disk_gb_used")
        ),
    )
    .join_from(hosts, services, IS_ITS_SERVICE)
    .where(services.c.is_enabled.is_(True))
)
_NEW_ZONE: Final = func.coalesce(bindparam("b_zone", type_=hosts.c.availability_zone.type), hosts.c.availability_zone)
_IS_AS_BEFORE: Final = and_(hosts.c.resources == bindparam("b_resources"), hosts.c.availability_zone == _NEW_ZONE)
_REFRESH: Final = (
    update(hosts)
    .where(hosts.c.name == bindparam("b_name"))
    .ordered_values(
        # First, since MariaDB lets an assignment see those before it.
        (hosts.c.changed_at, case((_IS_AS_BEFORE, hosts.c.changed_at), else_=database_time())),
        (hosts.c.resources, bindparam("b_resources")),
        (hosts.c.vcpus, bindparam("b_vcpus")),
        (hosts.c.ram_mb, bindparam("b_ram_mb")),
        (hosts.c.disk_gb, bindparam("b_disk_gb")),
        (hosts.c.availability_zone, _NEW_ZONE),
        (hosts.c.updated_at, bindparam("b_now")),
    )
)
_ADD: Final = insert(hosts).values(changed_at=database_time())


class Hosts:
    """The compute hosts of the cloud, in the database."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def started(self, name: str, resources: HostResources, availability_zone: str) -> None:
        """A host serves from now on. What is claimed of it is counted again from its servers."""
        new_id = new_uuid()
        now = self._clock.now()

        async def work(connection: AsyncConnection) -> None:
            await _upsert(connection, name, resources, availability_zone, new_id=new_id, now=now)
            await claims.recount(connection, name)
            await beats.beat(connection, COMPUTE, name, availability_zone, new_uuid=new_id, now=now)

        await self._db.write(work)

    async def heartbeat(self, name: str, resources: HostResources) -> None:
        """A host lives and has this."""
        new_id = new_uuid()
        now = self._clock.now()

        async def work(connection: AsyncConnection) -> None:
            await _upsert(connection, name, resources, None, new_id=new_id, now=now)
            await beats.beat(connection, COMPUTE, name, None, new_uuid=new_id, now=now)

        await self._db.write(work)

    async def names(self) -> list[str]:
        """Every host's name."""

        async def work(connection: AsyncConnection) -> list[str]:
            return list((await connection.execute(select(hosts.c.name).order_by(hosts.c.name))).scalars())

        return await self._db.read(work)

    async def reconcile(self, name: str) -> bool:
        """Set what is claimed of a host to what its servers take; right also while servers are claimed and deleted. True when it was wrong."""
        return await self._db.write(partial(claims.recount, host=name))

    async def all(self, now: datetime, down_time: float) -> list[Host]:
        """Every host by name; one that showed no sign of life for `down_time` seconds before `now` is down."""

        async def work(connection: AsyncConnection) -> Sequence[Any]:
            return (await connection.execute(_ALL)).all()

        return [_living(row, now, down_time) for row in await self._db.read(work)]

    async def get(self, id_or_name: str, *, now: datetime | None = None, down_time: float = _DOWN_TIME) -> Host:
        """One host. Raises NotFound."""

        async def work(connection: AsyncConnection) -> Any:
            return (await connection.execute(_ONE, {"b_key": id_or_name})).first()

        row = await self._db.read(work)
        if row is None:
            raise NotFound(kind="Compute host", key=id_or_name)
        return _living(row, now or self._clock.now(), down_time)

    async def statistics(self) -> HostStatistics:
        """What all enabled hosts have together."""

        async def work(connection: AsyncConnection) -> Any:
            return (await connection.execute(_SUMS)).one()

        count, *sums = tuple(await self._db.read(work))
        names = HostStatistics.__struct_fields__[1:]
        return HostStatistics(count=count, **{name: int(value) for name, value in zip(names, sums, strict=True)})


async def _upsert(
    connection: AsyncConnection, name: str, resources: HostResources, zone: str | None, *, new_id: str, now: datetime
) -> None:
    """Of two that find no row, one adds it and the other refreshes what the first has added."""
    sizes = {"vcpus": resources.vcpus, "ram_mb": resources.ram_mb, "disk_gb": resources.disk_gb}
    values: dict[str, Any] = {f"b_{key}": value for key, value in sizes.items()}
    values |= {"b_name": name, "b_resources": resources, "b_zone": zone, "b_now": now}
    if (await connection.execute(_REFRESH, values)).rowcount:
        return
    fresh = {"id": new_id, "name": name, "availability_zone": zone or beats.DEFAULT_ZONE, "resources": resources}
    fresh |= sizes | dict.fromkeys(("vcpus_used", "ram_mb_used", "disk_gb_used", "servers"), 0)
    if not await insert_once(connection, _ADD, fresh | {"created_at": now, "updated_at": now}):
        await connection.execute(_REFRESH, values)


def host_of(told: Sequence[Any], zone: str, *, is_enabled: bool | None, is_up: bool) -> Host:
    """A host by the values of OF_HOST; without a service, `is_enabled` None, it takes no servers."""
    facts = dict(zip(_NAMES, told, strict=True))
    return Host(**facts, availability_zone=zone, is_enabled=bool(is_enabled), is_up=is_up)


def _living(row: Any, now: datetime, down_time: float) -> Host:
    is_up = beats.is_up(row.updated_at, now, down_time, is_forced_down=row.is_forced_down)
    return host_of(row[: len(OF_HOST)], row.availability_zone, is_enabled=row.is_enabled, is_up=is_up)
