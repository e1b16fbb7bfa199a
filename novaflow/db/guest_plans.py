"""How a server was asked for, for whoever tells its guest: the server as it is now, its user data, files and key."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from sqlalchemy import bindparam, false, select
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.database import Database
from novaflow.db.records import PLAN_COLUMNS, plan_of
from novaflow.db.schema.compute import server_builds, servers
from novaflow.errors import NotFound
from novaflow.models import BuildPlan

_FIND: Final = (
    select(*PLAN_COLUMNS)
    .join_from(servers, server_builds, server_builds.c.server_id == servers.c.id)
    .where(servers.c.id == bindparam("b_id"), servers.c.is_deleted == false())
)


class GuestPlans:
    """Read only."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def get(self, server_id: str) -> BuildPlan:
        """Of one server that is not deleted. Raises NotFound."""
        row = await self._db.read(partial(_find, server_id=server_id))
        if row is None:
            raise NotFound(kind="Instance", key=server_id)
        return plan_of(row)


async def _find(connection: AsyncConnection, server_id: str) -> Sequence[Any] | None:
    return (await connection.execute(_FIND, {"b_id": server_id})).one_or_none()
