"""Passwords that guests have encrypted for their owners: each server has one at most, from the moment its guest posts it until it is cleared."""

from typing import Final

from sqlalchemy import bindparam, delete, false, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.database import Database
from novaflow.db.inserts import insert_once
from novaflow.db.schema.compute import guest_passwords, servers
from novaflow.errors import Conflict, NotFound

TAKEN: Final = "The server has a password already."
_ALIVE: Final = select(servers.c.id).where(servers.c.id == bindparam("b_id"), servers.c.is_deleted == false())
_GET: Final = (
    select(guest_passwords.c.password)
    .join_from(guest_passwords, servers, servers.c.id == guest_passwords.c.server_id)
    .where(guest_passwords.c.server_id == bindparam("b_id"), servers.c.is_deleted == false())
)
_POST: Final = insert(guest_passwords)
_CLEAR: Final = delete(guest_passwords).where(guest_passwords.c.server_id == bindparam("b_id"))


class GuestPasswords:
    """The passwords, as encrypted text, in the database."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def get(self, server_id: str) -> str:
        """The server's; empty when its guest has posted none, or when the server is gone."""

        async def work(connection: AsyncConnection) -> str:
            found: str | None = (await connection.execute(_GET, {"b_id": server_id})).scalar_one_or_none()
            return found or ""

        return await self._db.read(work)

    async def post(self, server_id: str, password: str) -> None:
        """Keep it, unless there is one already: then Conflict. Raises NotFound when the server is gone."""

        async def work(connection: AsyncConnection) -> None:
            if (await connection.execute(_ALIVE, {"b_id": server_id})).one_or_none() is None:
                raise NotFound(kind="Instance", key=server_id)
            row = {"server_id": server_id, "password": password}
            if await insert_once(connection, _POST, row):
                return
            kept = (await connection.execute(_GET, {"b_id": server_id})).scalar_one_or_none()
            if kept != password:  # else this transaction runs again, its outcome was not known
                raise Conflict(reason=TAKEN)

        await self._db.write(work)

    async def clear(self, server_id: str) -> None:
        """Forget it: the guest may post another."""

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(_CLEAR, {"b_id": server_id})

        await self._db.write(work)
