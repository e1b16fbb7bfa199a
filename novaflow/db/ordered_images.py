"""Images that were ordered of servers, and which of them nobody wants any more: the question an audit asks before it removes any.

An order that makes an image is on record with the image's id. While it runs, its workers clear up after themselves. What is asked
about here has ended: if whoever should have removed the image could not, nobody else would.
"""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.database import Database
from novaflow.db.schema.compute import servers, tasks
from novaflow.db.tasks import DONE, RUNNING
from novaflow.models import Value
from novaflow.states import Vm

SHELVE: Final = "shelve"
_MAKING: Final = (SHELVE, "createImage", "createBackup")
_ON_THE_SHELF: Final = (Vm.SHELVED, Vm.SHELVED_OFFLOADED)
_OF_IDLE: Final = (
    select(tasks.c.server_id, tasks.c.action, tasks.c.state, tasks.c.params, servers.c.vm, servers.c.is_deleted)
    .join_from(tasks, servers, servers.c.id == tasks.c.server_id)
    .where(
        tasks.c.action.in_(_MAKING),
        tasks.c.state != RUNNING,
        servers.c.task_id.is_(None),
        servers.c.updated_at >= bindparam("b_since"),
    )
    .order_by(tasks.c.created_at, tasks.c.id)
)
_OF_SERVERS: Final = select(tasks.c.server_id, tasks.c.params).where(
    tasks.c.server_id.in_(bindparam("b_ids", expanding=True))
)


class UnwantedImage(Value, frozen=True, kw_only=True):
    """An image of a server that nobody wants; with `unless_filled` only as long as it has no data."""

    image_id: str
    server_id: str
    unless_filled: bool


class OrderedImages:
    """The images that tasks were to make."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def unwanted(self, since: datetime) -> list[UnwantedImage]:
        """Of servers that have changed since then and to which nothing is being done. The images may be gone already."""

        async def work(connection: AsyncConnection) -> list[UnwantedImage]:
            rows = (await connection.execute(_OF_IDLE, {"b_since": since})).all()
            return list(_unwanted([row for row in rows if row.params and row.params.image_id]))

        return await self._db.read(work)

    async def of_servers(self, server_ids: Collection[str]) -> dict[str, set[str]]:
        """Every image that was ever ordered of these servers, by server; those that never were are not in it."""

        async def work(connection: AsyncConnection) -> dict[str, set[str]]:
            found: dict[str, set[str]] = {}
            for row in await connection.execute(_OF_SERVERS, {"b_ids": sorted(server_ids)}):
                found.setdefault(row.server_id, set()).update({row.params.image_id} if row.params else ())
            return found

        return await self._db.read(work) if server_ids else {}


def _unwanted(rows: Iterable[Any]) -> Iterator[UnwantedImage]:
    """A server on the shelf is the image it was shelved as last. A snapshot that has its data is its owner's, however it ended."""
    rows = list(rows)
    waits_as = {
        row.server_id: row.params.image_id
        for row in rows
        if (row.action, row.state) == (SHELVE, DONE) and row.vm in _ON_THE_SHELF and not row.is_deleted
    }
    for row in rows:
        image_id, is_shelf = row.params.image_id, row.action == SHELVE
        is_wanted = waits_as.get(row.server_id) == image_id if is_shelf else row.state == DONE
        if not is_wanted:
            yield UnwantedImage(image_id=image_id, server_id=row.server_id, unless_filled=not is_shelf)
