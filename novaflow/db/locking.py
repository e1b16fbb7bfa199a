"""Locks on servers. Who locked a server is not kept with it: the last `lock` among its tasks says so."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.clock import Clock
from novaflow.db import standing, tasks
from novaflow.db.database import Database
from novaflow.db.ids import new_uuid
from novaflow.db.schema.compute import servers
from novaflow.db.schema.compute import tasks as task_table
from novaflow.errors import NotFound
from novaflow.models import Context

LOCK: Final = "lock"
UNLOCK: Final = "unlock"
_SET: Final = (
    update(servers)
    .where(servers.c.id == bindparam("b_id"), servers.c.is_locked != bindparam("b_locked"))
    .values(is_locked=bindparam("b_locked"), updated_at=bindparam("b_now"))
)
_LOCKED_FROM: Final = (
    select(task_table.c.project_id)
    .where(task_table.c.server_id == bindparam("b_id"), task_table.c.action == LOCK)
    .order_by(task_table.c.created_at.desc(), task_table.c.id.desc())
    .limit(1)
)


class ServerLocks:
    """Locks, in the database. Setting one is an action of its server like any other, only that it is done at once."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def set(self, context: Context, server_id: str, *, is_locked: bool) -> None:
        """Lock or unlock a server; raises NotFound when it is gone."""
        await self._db.write(partial(self._write, context=context, server_id=server_id, locks=(is_locked, new_uuid())))

    async def locked_from(self, server_id: str) -> str | None:
        """The project from which a server was locked last; None when it never was."""

        async def work(connection: AsyncConnection) -> Sequence[str]:
            return (await connection.execute(_LOCKED_FROM, {"b_id": server_id})).scalars().all()

        return next(iter(await self._db.read(work)), None)

    async def _write(
        self, connection: AsyncConnection, context: Context, server_id: str, locks: tuple[bool, str]
    ) -> None:
        is_locked, task_id = locks
        now = self._clock.now()
        server = await standing.lock(connection, server_id)
        if server is None or server.is_deleted:
            raise NotFound(kind="Instance", key=server_id)
        if await tasks.get(connection, task_id) is not None:
            return  # an earlier try whose outcome was not known has been committed after all
        await connection.execute(_SET, {"b_id": server_id, "b_locked": is_locked, "b_now": now})
        done = {"state": tasks.DONE, "finished_at": now, "host": server.host}
        action = LOCK if is_locked else UNLOCK
        await tasks.add(connection, [tasks.row_of(context, server_id, task_id, action, now, **done)])
