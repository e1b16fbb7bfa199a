"""Users' key pairs: the public halves, counted against the user's quota."""

from functools import partial
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db import usages
from novaflow.db.database import Database
from novaflow.db.inserts import conflicting
from novaflow.db.schema.hosts import key_pairs
from novaflow.errors import Invalid, NotFound
from novaflow.models import KeyPair

_FIELDS: Final = KeyPair.__struct_fields__
_ALL: Final = (
    select(*(key_pairs.c[name] for name in _FIELDS))
    .where(key_pairs.c.user_id == bindparam("b_user_id"))
    .order_by(key_pairs.c.name)
)
_ONE: Final = _ALL.where(key_pairs.c.name == bindparam("b_name"))
_ADD: Final = insert(key_pairs)
_DELETE: Final = delete(key_pairs).where(
    key_pairs.c.user_id == bindparam("b_user_id"), key_pairs.c.name == bindparam("b_name")
)


class KeyPairs:
    """The key pairs of all users, in the database."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def create(self, keypair: KeyPair, limit: int) -> KeyPair:
        """Add a key pair of a user who may have `limit` (-1: any number). Raises QuotaExceeded, Conflict."""
        if keypair.created_at is None:
            raise ValueError("a key pair is recorded with the time it was made")
        values = {name: getattr(keypair, name) for name in _FIELDS if name != "id"}  # the database numbers them

        async def work(connection: AsyncConnection) -> KeyPair:
            await usages.reserve_key_pair(connection, keypair.user_id, limit)
            added = await connection.execute(_ADD, values)
            return msgspec.structs.replace(keypair, id=added.lastrowid)

        with conflicting(f"Key pair '{keypair.name}' already exists."):
            return await self._db.write(work)

    async def list(self, user_id: str, *, marker: str | None = None, limit: int | None = None) -> list[KeyPair]:
        """A user's key pairs by name, from after `marker`. Raises Invalid when there is no such key pair."""

        async def work(connection: AsyncConnection) -> Any:
            query = _ALL
            if marker is not None:
                if await _find(connection, user_id, marker) is None:
                    raise Invalid(reason=f"marker [{marker}] not found")
                query = query.where(key_pairs.c.name > marker)
            rows = await connection.execute(query if limit is None else query.limit(limit), {"b_user_id": user_id})
            return rows.all()

        return [_keypair_of(row) for row in await self._db.read(work)]

    async def get(self, user_id: str, name: str) -> KeyPair:
        """One key pair. Raises NotFound."""
        found = await self._db.read(partial(_find, user_id=user_id, name=name))
        if found is None:
            raise NotFound(kind="Keypair", key=f"{name} for user {user_id}")
        return found

    async def delete(self, user_id: str, name: str) -> None:
        """Remove a key pair. Raises NotFound."""

        async def work(connection: AsyncConnection) -> None:
            if (await connection.execute(_DELETE, {"b_user_id": user_id, "b_name": name})).rowcount == 0:
                raise NotFound(kind="Keypair", key=f"{name} for user {user_id}")
            await usages.release_key_pair(connection, user_id)

        await self._db.write(work)


async def _find(connection: AsyncConnection, user_id: str, name: str) -> KeyPair | None:
    row = (await connection.execute(_ONE, {"b_user_id": user_id, "b_name": name})).one_or_none()
    return None if row is None else _keypair_of(row)


def _keypair_of(row: Any) -> KeyPair:
    return KeyPair(**dict(zip(_FIELDS, row, strict=True)))
