"""What a scheduler must read of the hosts: all of them once, and from then on what has changed.

A change is found by `hosts.changed_at`, which whoever changes a host sets in the same statement. A transaction may be seen after one that
began later, so a reader looks back a little further than to its last look, and reads everything again now and then. Signs of life
change every host every few seconds and are read for themselves, seldom; how old one may be is the reader's to judge.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Select, bindparam, case, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.database import Database
from novaflow.db.database_time import database_time, seconds_of
from novaflow.db.hosts import COMPUTE, IS_ITS_SERVICE, OF_HOST, OF_SERVICE, host_of
from novaflow.db.schema.aggregates import aggregate_hosts, aggregates
from novaflow.db.schema.compute import servers
from novaflow.db.schema.hosts import hosts, services
from novaflow.hosts import Aggregate, Host
from novaflow.states import Task

# What makes disks and networks busy (nova/compute/stats.py, `io_workload`).
HEAVY: Final = (
    Task.SCHEDULING,
    Task.NETWORKING,
    Task.BLOCK_DEVICE_MAPPING,
    Task.SPAWNING,
    Task.REBUILDING,
    Task.RESIZE_PREP,
    Task.RESIZE_MIGRATING,
    Task.IMAGE_SNAPSHOT,
    Task.IMAGE_BACKUP,
    Task.UNSHELVING,
)


class SeenHost(NamedTuple):
    """A host as its row says, without what aggregates and servers say of it; and when it last showed that it lives.

    Its `is_up` is false only when it was forced down or never seen.
    """

    host: Host
    seen: datetime | None


class Changes(NamedTuple):
    """The hosts that changed, when that was read by the database's clock, and a mark that changes with the aggregates."""

    at: datetime
    hosts: list[SeenHost]
    aggregates: str


class Work(NamedTuple):
    """What a host's servers say of it: how many have a heavy task, and their flavors."""

    io_ops: int
    flavor_ids: tuple[str, ...]


# Not the latest of the times alone: processes whose clocks differ write them. A text of all of them would be a table on disk.
_TOUCHED: Final = func.coalesce(aggregates.c.updated_at, aggregates.c.created_at)
_FIELDS: Final = (*OF_HOST, hosts.c.availability_zone, *OF_SERVICE)
# One row more than there are hosts, if need be: the time and the mark are told also when nothing has changed.
_NOW: Final = (
    select(
        database_time().label("at"),
        func.count().label("count"),
        func.max(_TOUCHED).label("latest"),
        func.sum(seconds_of(_TOUCHED)).label("sum"),
    )
    .select_from(aggregates)
    .subquery("now")
)
_OWN: Final = len(_NOW.c)
_ALL: Final = (
    select(*_NOW.c, *_FIELDS)
    .join_from(_NOW, hosts, literal(1) == 1, isouter=True)
    .join(services, IS_ITS_SERVICE, isouter=True)
)
_SINCE: Final = (
    select(*_NOW.c, *_FIELDS)
    .join_from(_NOW, hosts, hosts.c.changed_at >= bindparam("b_since"), isouter=True)
    .join(services, IS_ITS_SERVICE, isouter=True)
)
_BEATS: Final = select(services.c.host, services.c.updated_at).where(
    services.c.binary == COMPUTE, services.c.is_forced_down.is_(False)
)
_AGGREGATES: Final = select(
    aggregates.c.id, aggregates.c.uuid, aggregates.c.name, aggregates.c.availability_zone, aggregates.c.metadata
).order_by(aggregates.c.id)
_MEMBERS: Final = select(aggregate_hosts.c.host, aggregate_hosts.c.aggregate_id).order_by(
    aggregate_hosts.c.aggregate_id
)
_WORK: Final = (
    select(servers.c.host, servers.c.flavor_id, func.sum(case((servers.c.task.in_(HEAVY), 1), else_=0)))
    .where(servers.c.is_deleted.is_(False), servers.c.host.is_not(None))
    .group_by(servers.c.host, servers.c.flavor_id)
)
_WORK_OF: Final = _WORK.where(servers.c.host.in_(bindparam("b_hosts", expanding=True)))


class HostChanges:
    """The hosts of the cloud as schedulers read them."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def all(self) -> Changes:
        """Every host."""
        return await self._changes(_ALL, {})

    async def since(self, moment: datetime) -> Changes:
        """The hosts that changed at or after this moment of the database's clock. Those that were deleted are not among them."""
        return await self._changes(_SINCE, {"b_since": moment})

    async def beats(self) -> list[tuple[str, datetime]]:
        """When each host last showed that it lives, but for those that were forced down."""
        return [(host, seen) for host, seen in await self._rows(_BEATS, {})]

    async def aggregates(self) -> dict[str, tuple[Aggregate, ...]]:
        """The aggregates that each host is in, by host; they are told without their hosts."""
        fields = ("id", "uuid", "name", "availability_zone", "metadata")
        rows = await self._rows(_AGGREGATES, {})
        by_id = {row[0]: Aggregate(**dict(zip(fields, row, strict=True))) for row in rows}
        found: dict[str, list[Aggregate]] = {}
        for host, aggregate_id in await self._rows(_MEMBERS, {}):
            if aggregate_id in by_id:
                found.setdefault(host, []).append(by_id[aggregate_id])
        # Hosts of the same aggregates share one tuple: with many hosts it is compared often.
        shared: dict[tuple[int, ...], tuple[Aggregate, ...]] = {}
        return {host: shared.setdefault(tuple(one.id for one in mine), tuple(mine)) for host, mine in found.items()}

    async def work(self, names: Iterable[str] | None = None) -> Mapping[str, Work]:
        """What their servers say of these hosts, or of all; hosts without servers are left out."""
        rows = await (self._rows(_WORK, {}) if names is None else self._rows(_WORK_OF, {"b_hosts": list(names)}))
        found: dict[str, Work] = {}
        for host, flavor_id, heavy in rows:
            io_ops, flavor_ids = found.get(host, (0, ()))
            found[host] = Work(io_ops + int(heavy), (*flavor_ids, flavor_id))
        return found

    async def _changes(self, query: Select[Any], values: Mapping[str, Any]) -> Changes:
        rows = await self._rows(query, values)
        at, *mark = rows[0][:_OWN]
        return Changes(at, [_seen(row[_OWN:]) for row in rows if row[_OWN] is not None], str(mark))

    async def _rows(self, query: Select[Any], values: Mapping[str, Any]) -> Sequence[Any]:
        async def work(connection: AsyncConnection) -> Sequence[Any]:
            found: Sequence[Any] = (await connection.execute(query, values)).all()
            return found

        return await self._db.read(work)


def _seen(fields: Sequence[Any]) -> SeenHost:
    *told, zone, is_enabled, is_forced_down, seen = fields
    host = host_of(told, zone, is_enabled=is_enabled, is_up=seen is not None and not is_forced_down)
    return SeenHost(host, None if is_forced_down else seen)
