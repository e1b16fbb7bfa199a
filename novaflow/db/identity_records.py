"""What the records of the identity service have in common: rows of one table as frozen values.

Functions that take a connection run inside the caller's transaction. Conflicts carry Keystone's sentences
(keystone/common/sql/core.py, handle_conflicts).
"""

from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar

import msgspec
from sqlalchemy import ColumnElement, RowMapping, Table, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.database import Database
from novaflow.db.schema.identity import REVISION
from novaflow.errors import Conflict, NotFound, Protected
from novaflow.models import Value

T = TypeVar("T", bound=Value)

REVISION_ROW: Final = 1


async def bump(connection: AsyncConnection) -> None:
    """Say that roles, implications or the catalogue changed; also serialises whoever does this at the same time."""
    await connection.execute(update(REVISION).where(REVISION.c.id == REVISION_ROW).values(number=REVISION.c.number + 1))


class Records(Generic[T]):
    """One table whose rows are read as `shape`; `kind` is what a client calls one of them."""

    def __init__(self, db: Database, table: Table, shape: type[T], kind: str) -> None:
        self._db = db
        self._table = table
        self._shape = shape
        self.kind = kind

    async def get(self, key: str) -> T:
        """The record with that id. Raises NotFound."""
        return await self._db.read(lambda connection: self.fetch(connection, key))

    async def all(self, **equal: object) -> list[T]:
        """Records whose columns have these values, by name."""
        wanted = [self._table.c[name] == value for name, value in equal.items()]
        return await self._db.read(lambda connection: self.select(connection, *wanted))

    async def fetch(self, connection: AsyncConnection, key: str, *, locked: bool = False) -> T:
        """The record with that id, kept as it is until the transaction ends if `locked`. Raises NotFound."""
        query = select(self._table).where(self._table.c.id == key)
        row = (await connection.execute(query.with_for_update() if locked else query)).mappings().first()
        if row is None:
            raise NotFound(kind=self.kind, key=key)
        return self._read(row)

    async def select(self, connection: AsyncConnection, *wanted: ColumnElement[bool]) -> list[T]:
        """Every record that answers to all of `wanted`."""
        order = self._table.c.name if "name" in self._table.c else self._table.c.id
        rows = await connection.execute(select(self._table).where(*wanted).order_by(order, self._table.c.id))
        return [self._read(row) for row in rows.mappings()]

    async def add(self, connection: AsyncConnection, record: T, *, is_id_chosen: bool = False) -> T:
        """Store a new record. Raises Conflict when its name or id is taken.

        A record whose id was made here and that is there already is the same one, stored by a run of this transaction whose
        end was lost; an id that the client chose says nothing of the kind.
        """
        try:
            await connection.execute(insert(self._table).values(**msgspec.structs.asdict(record)))
        except IntegrityError as error:
            same = self._table.c.id == _id(record)
            if is_id_chosen or await self.select(connection, same) != [record]:
                raise Conflict(reason=self._taken(record)) from error
        return record

    async def change(self, connection: AsyncConnection, before: T, changes: Mapping[str, Any]) -> T:
        """Store what is new about a record. Raises Conflict when its new name is taken, Protected if it is immutable."""
        after = msgspec.structs.replace(before, **changes)
        if after == before:
            return before
        if _is_immutable(before) and (set(changes) != {"options"} or _is_immutable(after)):
            raise Protected(reason=self._immutable(before, "update"))
        key = self._table.c.id == _id(before)
        try:
            await connection.execute(update(self._table).where(key).values(**changes))
        except IntegrityError as error:
            raise Conflict(reason=self._taken(after)) from error
        return after

    async def remove(self, connection: AsyncConnection, record: T) -> None:
        """Delete the row. Raises Protected if the record is immutable."""
        if _is_immutable(record):
            raise Protected(reason=self._immutable(record, "delete"))
        await connection.execute(delete(self._table).where(self._table.c.id == _id(record)))

    def _read(self, row: RowMapping) -> T:
        return self._shape(**dict(row))

    def _taken(self, record: T) -> str:
        facts = msgspec.structs.asdict(record)
        found = f"name {facts['name']}" if facts.get("name") else f"ID {facts['id']}"
        within = f" at domain ID {facts['domain_id']}" if facts.get("domain_id") else ""
        return f"Conflict occurred attempting to store {self.kind} - Duplicate entry found with {found}{within}."

    def _immutable(self, record: T, operation: str) -> str:
        return (
            f"Unable to {operation} immutable {self.kind} resource: `{_id(record)}. "
            'Set resource option "immutable" to false first.'
        )


class CountedRecords(Records[T]):
    """Records of which every token tells, as roles or in its catalogue: whatever changes them counts the revision up."""

    async def create(self, record: T) -> T:
        """Store a new record. Raises Conflict when its name is taken."""

        async def work(connection: AsyncConnection) -> T:
            await bump(connection)
            return await self.add(connection, record)

        return await self._db.write(work)

    async def update(self, key: str, changes: Mapping[str, Any]) -> T:
        """Change a record. Raises NotFound; Conflict when its new name is taken; Protected if it is immutable."""

        async def work(connection: AsyncConnection) -> T:
            await bump(connection)
            return await self.change(connection, await self.fetch(connection, key, locked=True), changes)

        return await self._db.write(work)


def _is_immutable(record: Value) -> bool:
    return bool(getattr(record, "options", {}).get("immutable"))


def _id(record: Value) -> str:
    key: str = msgspec.structs.asdict(record)["id"]
    return key
