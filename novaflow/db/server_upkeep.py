"""What keeps hosts, servers and tasks together: what is where, what is wanted there, what stopped moving, what is due."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from sqlalchemy import bindparam, false, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db import judging, tasks
from novaflow.db.schema.compute import servers
from novaflow.db.server_records import ServerRecords, find
from novaflow.db.tasks import StaleTask
from novaflow.hosts import Verdict
from novaflow.messages import HostedServer
from novaflow.models import Server
from novaflow.states import Power, Vm

_HOSTED: Final = (
    select(*(servers.c[name] for name in HostedServer.__struct_fields__))
    .where(servers.c.host == bindparam("b_host"), servers.c.is_deleted == false())
    .order_by(servers.c.id)
)
_RECORD_POWER: Final = (
    update(servers)
    .where(
        servers.c.id == bindparam("b_id"),
        servers.c.host == bindparam("b_host"),
        servers.c.task_id.is_(None),
        servers.c.is_deleted == false(),
        servers.c.power != bindparam("b_power"),
    )
    .values(power=bindparam("b_power"), updated_at=bindparam("b_now"))
)


class ServerUpkeep(ServerRecords):
    """What recovery, audits and timers ask."""

    async def on_host(self, host: str) -> list[HostedServer]:
        """Every server that is on a host."""

        async def work(connection: AsyncConnection) -> list[HostedServer]:
            rows = await connection.execute(_HOSTED, {"b_host": host})
            return [HostedServer(**dict(zip(HostedServer.__struct_fields__, row, strict=True))) for row in rows]

        return await self._db.read(work)

    async def judge(self, host: str, server_ids: Sequence[str]) -> dict[str, Verdict]:
        """What each of these servers is to a host that has something of them."""
        return await self._db.read(partial(judging.judge, host=host, server_ids=server_ids))

    async def idle_since(self, vm: Vm, before: datetime, limit: int) -> Sequence[Server]:
        """Servers that have been in this state, with nothing being done to them, since `before` or longer."""
        return await self._db.read(partial(judging.idle_since, vm=vm, before=before, limit=limit))

    async def building_since(self, before: datetime, limit: int) -> Sequence[Server]:
        """Servers that were made before `before` and are still being built."""
        return await self._db.read(partial(judging.building_since, before=before, limit=limit))

    async def record_power(self, host: str, server_id: str, power: Power) -> Server | None:
        """Note a server's power state. The server, if that is news and no task is busy with it; else None."""
        values = {"b_id": server_id, "b_host": host, "b_power": power, "b_now": self._clock.now()}

        async def work(connection: AsyncConnection) -> Server | None:
            if (await connection.execute(_RECORD_POWER, values)).rowcount == 0:
                return None
            return await find(connection, server_id)

        return await self._db.write(work)

    async def stale_tasks(self, before: datetime, limit: int, *, lease: timedelta = timedelta()) -> list[StaleTask]:
        """Running tasks without a sign of life since `before`, the longest silent first.

        Since longer where they were ordered more than once: with each order `lease` doubles.
        """
        return await self._db.read(partial(tasks.stale, before=before, limit=limit, lease=lease))

    async def renew(self, task_ids: Sequence[str]) -> None:
        """A sign of life of these tasks: somebody works on them."""
        if task_ids:
            await self._db.write(partial(tasks.renew, task_ids=task_ids, now=self._clock.now()))

    async def retake(self, task_id: str, seen: datetime) -> bool:
        """Take up a stale task again, once more attempted; `seen` is its `updated_at` as it was read.

        False when it is over, showed a sign of life since, or somebody else was faster.
        """
        return await self._db.write(partial(tasks.retake, task_id=task_id, seen=seen, now=self._clock.now()))
