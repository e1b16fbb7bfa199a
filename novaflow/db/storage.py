"""What volumes and snapshots have in common in the database: they belong to a project, and to one order at a time.

An order that is accepted and a report that it ended are each one conditional UPDATE. Both may be written twice: an order is known by its
id, which the row keeps until the next one.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import ColumnElement, Table, bindparam, false, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.database import Database
from novaflow.errors import NotFound, TaskSuperseded
from novaflow.models import Value
from novaflow.volumes import ENDINGS, Status, Volume, VolumeSnapshot

T = TypeVar("T", Volume, VolumeSnapshot)
RUNNING: Final = tuple(ENDINGS)


class Stale(Value, Generic[T], frozen=True, kw_only=True):
    """Something whose order has not ended, and how often it was sent."""

    thing: T
    ordered_at: datetime
    orders: int


class Storage(Generic[T]):
    """One table of things that are kept on hosts. `kind` is what a refusal calls them."""

    def __init__(self, db: Database, table: Table[Any], value: type[T], kind: str) -> None:
        self.db = db
        self.table = table
        self.kind = kind
        self._value: type[T] = value
        self._columns = [table.c[name] for name in value.__struct_fields__]
        self._all = select(*self._columns).order_by(table.c.created_at, table.c.id)
        self._one = self._all.where(table.c.id == bindparam("b_id"))

    async def get(self, thing_id: str, *, project_id: str | None = None) -> T:
        """One that is not deleted, of this project or of any. Raises NotFound."""
        found = await self.db.read(lambda connection: self.find(connection, thing_id))
        if found is None or found.status is Status.DELETED or project_id not in (None, found.project_id):
            raise NotFound(kind=self.kind, key=thing_id)
        return found

    async def all(self, project_id: str | None = None, **equal: str) -> list[T]:
        """Those of a project, or of all, that are not deleted, the oldest first; `equal` are columns."""
        query = self._all.where(self.table.c.is_deleted == false())
        if project_id is not None:
            query = query.where(self.table.c.project_id == project_id)
        for column, value in equal.items():
            query = query.where(self.table.c[column] == value)
        return await self._read(query)

    async def on_host(self, host: str, ids: Collection[str]) -> list[T]:
        """All that should be on a host, and what became of these that are."""
        here = (self.table.c.host == host) & (self.table.c.is_deleted == false())
        return await self.some(here | self.table.c.id.in_(ids))

    async def some(self, *conditions: ColumnElement[bool]) -> list[T]:
        """Those of which all this is so."""
        return await self._read(self._all.where(*conditions))

    async def stale(self, before: datetime, limit: int) -> list[Stale[T]]:
        """Whose orders were last sent before this, and have not ended."""
        query = (
            self._all.add_columns(self.table.c.ordered_at, self.table.c.orders)
            .where(self.table.c.status.in_(RUNNING), self.table.c.ordered_at < before, self._may_be_sent())
            .limit(limit)
        )

        async def work(connection: AsyncConnection) -> list[Stale[T]]:
            rows = (await connection.execute(query)).all()
            return [Stale(thing=self._of(row[:-2]), ordered_at=row[-2], orders=row[-1]) for row in rows]

        return await self.db.read(work)

    async def retake(self, stale: Stale[T], now: datetime) -> bool:
        """Whether it is the caller who sends the order again."""
        same = (
            self.table.c.id == stale.thing.id,
            self.table.c.order_id == stale.thing.order_id,
            self.table.c.ordered_at == stale.ordered_at,
            self.table.c.status.in_(RUNNING),
        )
        values = {"ordered_at": now, "orders": stale.orders + 1}

        async def work(connection: AsyncConnection) -> bool:
            return (await connection.execute(update(self.table).where(*same).values(values))).rowcount == 1

        return await self.db.write(work)

    async def renew(self, order_ids: Sequence[str], now: datetime) -> None:
        """These orders, as far as they are for something of this table and have not ended, count as sent just now."""
        running = self.table.c.status.in_(RUNNING) & self.table.c.order_id.in_(order_ids)

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(update(self.table).where(running).values(ordered_at=now))

        await self.db.write(work)

    async def ordered(self, thing_id: str, order_id: str, host: str) -> T:
        """What this order is for, if it is still to be carried out on this host; raises TaskSuperseded."""
        found = await self.db.read(lambda connection: self.find(connection, thing_id))
        if found is None or found.order_id != order_id or found.host != host or found.status not in ENDINGS:
            raise TaskSuperseded(server_id=thing_id, task_id=order_id)
        return found

    async def report(
        self, thing_id: str, order_id: str, now: datetime, *, fault: str | None = None, device: str = ""
    ) -> None:
        """The order is done, or has failed for this reason. Fine when it was said before; raises TaskSuperseded when another came."""

        async def work(connection: AsyncConnection) -> None:
            found = await self.find(connection, thing_id, lock=True)
            if found is None or found.order_id != order_id:
                raise TaskSuperseded(server_id=thing_id, task_id=order_id)
            if found.status not in ENDINGS:
                if found.fault and fault is None:  # given up before its worker was done
                    raise TaskSuperseded(server_id=thing_id, task_id=order_id)
                return
            done, failed = ENDINGS[found.status]
            after = done if fault is None else failed
            await self.move(connection, thing_id, after, now, fault=fault or "", **self._changes(after, now, device))

        await self.db.write(work)

    async def find(self, connection: AsyncConnection, thing_id: str, *, lock: bool = False) -> T | None:
        """Whatever became of it."""
        query = self._one.with_for_update() if lock else self._one
        row = (await connection.execute(query, {"b_id": thing_id})).one_or_none()
        return None if row is None else self._of(row)

    async def held(self, connection: AsyncConnection, thing_id: str, project_id: str | None) -> T:
        """One of this project, its row locked; raises NotFound."""
        found = await self.find(connection, thing_id, lock=True)
        if found is None or found.status is Status.DELETED or project_id not in (None, found.project_id):
            raise NotFound(kind=self.kind, key=thing_id)
        return found

    async def move(
        self, connection: AsyncConnection, thing_id: str, status: Status, now: datetime, **changes: Any
    ) -> None:
        """Its status from now on; the row is locked."""
        values = changes | {"status": status, "is_deleted": status is Status.DELETED, "updated_at": now}
        await connection.execute(update(self.table).where(self.table.c.id == thing_id).values(values))

    async def begin(
        self, connection: AsyncConnection, thing_id: str, status: Status, order_id: str, now: datetime, **changes: Any
    ) -> None:
        """An order is accepted."""
        order = {"order_id": order_id, "ordered_at": now, "orders": 1, "fault": ""}
        await self.move(connection, thing_id, status, now, **order, **changes)

    def row(self, thing: T) -> Mapping[str, Any]:
        """All columns of a new one."""
        values = {name: getattr(thing, name) for name in thing.__struct_fields__}
        return values | {"is_deleted": False, "ordered_at": thing.created_at, "orders": 1}

    def _may_be_sent(self) -> ColumnElement[bool]:
        """Whether nothing stands in the way of an order."""
        return true()

    def _changes(self, after: Status, now: datetime, device: str) -> dict[str, Any]:  # noqa: ARG002 - volumes have some
        """What else a status means to the row."""
        return {}

    def _of(self, row: Any) -> T:
        made: T = self._value(**dict(zip(self._value.__struct_fields__, row, strict=True)))
        return made

    async def _read(self, query: Any) -> list[T]:
        async def work(connection: AsyncConnection) -> list[T]:
            return [self._of(row) for row in (await connection.execute(query)).all()]

        return await self.db.read(work)
