"""Host aggregates.

What may be changed depends on which hosts are in which zone and on the servers they have. So a change locks the aggregate and then its
hosts, which every claim of a server locks too: what a `check` sees stays true until the change is committed. Every
change is seen in `updated_at`, by which schedulers notice it.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, delete, false, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.clock import Clock
from novaflow.db.database import Database
from novaflow.db.ids import new_uuid
from novaflow.db.inserts import conflicting, insert_once
from novaflow.db.schema.aggregates import aggregate_hosts, aggregates
from novaflow.db.schema.compute import servers
from novaflow.db.schema.hosts import hosts
from novaflow.errors import Conflict, Missing, NotFound
from novaflow.hosts import Aggregate
from novaflow.models import Value

_TAKEN: Final = "Aggregate {} already exists."
_FIELDS: Final = tuple(name for name in Aggregate.__struct_fields__ if name != "hosts")
_ALL: Final = select(*(aggregates.c[name] for name in _FIELDS)).order_by(aggregates.c.id)
_ONE: Final = _ALL.where(aggregates.c.id == bindparam("b_id"))
_HOSTS: Final = select(aggregate_hosts.c.aggregate_id, aggregate_hosts.c.host).order_by(aggregate_hosts.c.host)
_IS_HOST: Final = select(func.count()).where(hosts.c.name == bindparam("b_host"))
_ADD: Final = insert(aggregates)
_DELETE: Final = delete(aggregates).where(aggregates.c.id == bindparam("b_id"))
_CHANGE: Final = update(aggregates).where(aggregates.c.id == bindparam("b_id"))
_ADD_HOST: Final = insert(aggregate_hosts)
_REMOVE_HOST: Final = delete(aggregate_hosts).where(
    aggregate_hosts.c.aggregate_id == bindparam("b_id"), aggregate_hosts.c.host == bindparam("b_host")
)
_FORGET_HOST: Final = delete(aggregate_hosts).where(aggregate_hosts.c.host == bindparam("b_host"))


class Placement(Value, frozen=True, kw_only=True):
    """What a change of an aggregate's hosts or zone would touch: the zones of its hosts' other aggregates, and their servers."""

    aggregate: Aggregate
    zones: tuple[str, ...]
    servers: int


Check = Callable[[Placement], None]
"""Raises what forbids the change."""


class Aggregates:
    """The aggregates of the cloud, in the database."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def create(self, name: str, zone: str | None) -> Aggregate:
        """Add an aggregate without hosts. Raises Conflict when the name is taken."""
        draft = Aggregate(id=0, uuid=new_uuid(), name=name, availability_zone=zone, created_at=self._clock.now())
        values = {field: getattr(draft, field) for field in _FIELDS if field != "id"}

        async def work(connection: AsyncConnection) -> Aggregate:
            added = await connection.execute(_ADD, values)
            return msgspec.structs.replace(draft, id=added.lastrowid)

        with conflicting(_TAKEN.format(name)):
            return await self._db.write(work)

    async def list(self) -> list[Aggregate]:
        """Every aggregate, the oldest first."""

        async def work(connection: AsyncConnection) -> list[Aggregate]:
            return await _with_hosts(connection, (await connection.execute(_ALL)).all())

        return await self._db.read(work)

    async def get(self, aggregate_id: int) -> Aggregate:
        """One aggregate. Raises NotFound."""

        async def work(connection: AsyncConnection) -> Aggregate:
            return await _get(connection, aggregate_id)

        return await self._db.read(work)

    async def change(
        self,
        aggregate_id: int,
        *,
        name: str | None = None,
        zone: str | None = None,
        metadata: Mapping[str, str | None] | None = None,
        check: Check,
    ) -> Aggregate:
        """Change name, zone or metadata; what is None stays, and so does metadata that is not named. Null metadata goes.

        Raises NotFound, Conflict when the name is taken, and what `check` raises.
        """

        async def work(connection: AsyncConnection) -> Aggregate:
            found = await _hold(connection, aggregate_id)
            check(await _placement(connection, found, found.hosts))
            kept = {**found.metadata, **(metadata or {})}
            changes = {
                "name": name or found.name,
                "availability_zone": zone or found.availability_zone,
                "metadata": {key: value for key, value in kept.items() if value is not None},
            }
            return await _record(connection, found, self._clock.now(), **changes)

        with conflicting(_TAKEN.format(name or "")):
            return await self._db.write(work)

    async def delete(self, aggregate_id: int, check: Callable[[Aggregate], None]) -> None:
        """Remove an aggregate. Raises NotFound, and what `check` raises."""

        async def work(connection: AsyncConnection) -> None:
            check(await _hold(connection, aggregate_id))
            await connection.execute(_DELETE, {"b_id": aggregate_id})

        await self._db.write(work)

    async def has_host(self, host: str) -> bool:
        """Whether there is such a compute host."""

        async def work(connection: AsyncConnection) -> bool:
            return bool(await connection.scalar(_IS_HOST, {"b_host": host}))

        return await self._db.read(work)

    async def add_host(self, aggregate_id: int, host: str, check: Check) -> Aggregate:
        """Put a host into an aggregate. Raises NotFound, Conflict when it is there, and what `check` raises."""

        async def work(connection: AsyncConnection) -> Aggregate:
            found = await _hold(connection, aggregate_id)
            check(await _placement(connection, found, [host]))
            if not await insert_once(connection, _ADD_HOST, {"aggregate_id": aggregate_id, "host": host}):
                raise Conflict(reason=f"Aggregate {aggregate_id} already has host {host}.")
            return await _record(connection, found, self._clock.now(), hosts=tuple(sorted((*found.hosts, host))))

        return await self._db.write(work)

    async def remove_host(self, aggregate_id: int, host: str, check: Check) -> Aggregate:
        """Take a host out of an aggregate. Raises NotFound, Missing when it is not in it, and what `check` raises."""

        async def work(connection: AsyncConnection) -> Aggregate:
            found = await _hold(connection, aggregate_id)
            if host not in found.hosts:
                raise Missing(reason=f"Aggregate {aggregate_id} has no host {host}.")
            check(await _placement(connection, found, [host]))
            await connection.execute(_REMOVE_HOST, {"b_id": aggregate_id, "b_host": host})
            left = tuple(other for other in found.hosts if other != host)
            return await _record(connection, found, self._clock.now(), hosts=left)

        return await self._db.write(work)


async def forget_host(connection: AsyncConnection, host: str) -> None:
    """Take a host that is gone out of every aggregate."""
    await connection.execute(_FORGET_HOST, {"b_host": host})


async def _get(connection: AsyncConnection, aggregate_id: int, *, is_held: bool = False) -> Aggregate:
    query = _ONE.with_for_update() if is_held else _ONE
    found = await _with_hosts(connection, (await connection.execute(query, {"b_id": aggregate_id})).all())
    if not found:
        raise NotFound(kind="Aggregate", key=str(aggregate_id))
    return found[0]


async def _hold(connection: AsyncConnection, aggregate_id: int) -> Aggregate:
    """The aggregate, with its row locked."""
    return await _get(connection, aggregate_id, is_held=True)


async def _placement(connection: AsyncConnection, aggregate: Aggregate, names: Sequence[str]) -> Placement:
    """What a change that concerns these hosts would touch, with their rows locked."""
    if not names:
        return Placement(aggregate=aggregate, zones=(), servers=0)
    held = select(hosts.c.name).where(hosts.c.name.in_(names)).order_by(hosts.c.name).with_for_update()
    await connection.execute(held)
    others = (
        select(aggregates.c.availability_zone)
        .join_from(aggregate_hosts, aggregates, aggregates.c.id == aggregate_hosts.c.aggregate_id)
        .where(aggregate_hosts.c.host.in_(names), aggregates.c.id != aggregate.id)
        .where(aggregates.c.availability_zone.is_not(None))
        .distinct()
    )
    zones = tuple(sorted((await connection.execute(others)).scalars()))
    on_them = select(func.count()).where(servers.c.host.in_(names), servers.c.is_deleted == false())
    return Placement(aggregate=aggregate, zones=zones, servers=(await connection.execute(on_them)).scalar_one())


async def _record(connection: AsyncConnection, found: Aggregate, now: datetime, **changes: Any) -> Aggregate:
    """Write what has changed, and when; hosts are in their own table."""
    after = msgspec.structs.replace(found, updated_at=now, **changes)
    values = {name: getattr(after, name) for name in ("name", "availability_zone", "metadata", "updated_at")}
    await connection.execute(_CHANGE.values(**values), {"b_id": found.id})
    return after


async def _with_hosts(connection: AsyncConnection, rows: Sequence[Any]) -> list[Aggregate]:
    found = [Aggregate(**dict(zip(_FIELDS, row, strict=True))) for row in rows]
    if not found:
        return []
    mine = aggregate_hosts.c.aggregate_id.in_([aggregate.id for aggregate in found])
    members: dict[int, list[str]] = {}
    for aggregate_id, host in await connection.execute(_HOSTS.where(mine)):
        members.setdefault(aggregate_id, []).append(host)
    return [msgspec.structs.replace(one, hosts=tuple(members.get(one.id, ()))) for one in found]
