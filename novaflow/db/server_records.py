"""What every part of novaflow.db.servers.Servers stands on: the database, the clock, who hears of transitions, and one server."""

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.clock import Clock
from novaflow.db.database import Database
from novaflow.db.ids import row_id
from novaflow.db.records import SERVER_COLUMNS, server_of
from novaflow.db.schema.compute import servers
from novaflow.db.transitions import Step, Transition
from novaflow.models import Fault, Server
from novaflow.states import Event

GET: Final = select(*SERVER_COLUMNS).where(servers.c.id == bindparam("b_id"))


def ignore(_transition: Transition) -> None:
    """Nobody wants to know."""


class ServerRecords:
    """The servers of the cloud, in the database. After a commit `on_transition` is told what happened, once per history row."""

    def __init__(self, db: Database, clock: Clock, on_transition: Callable[[Transition], None] = ignore) -> None:
        self._db = db
        self._clock = clock
        self._tell = on_transition

    def _step(self, server_id: str, task_id: str, event: Event, **more: Any) -> Step:
        now = self._clock.now()
        fault: Fault | None = more.get("fault")
        if fault is not None and fault.created_at is None:
            more["fault"] = msgspec.structs.replace(fault, created_at=now)
        return Step(server_id=server_id, task_id=task_id, event=event, now=now, row_id=row_id(now), **more)

    def _told(self, happened: Iterable[Transition]) -> None:
        for transition in happened:
            self._tell(transition)


async def find(connection: AsyncConnection, server_id: str) -> Server | None:
    """One server, whatever became of it."""
    row = (await connection.execute(GET, {"b_id": server_id})).one_or_none()
    return None if row is None else server_of(row)
