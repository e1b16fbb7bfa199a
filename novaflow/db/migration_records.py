"""The moves of servers as they are asked for: those of one server, or of all by host and kind."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.database import Database
from novaflow.db.moving import migration_of
from novaflow.db.schema.compute import migrations
from novaflow.errors import NotFound
from novaflow.models import Value
from novaflow.tasks import Migration

_COLUMNS: Final = tuple(migrations.c[name] for name in Migration.__struct_fields__)
_EQUALS: Final = ("server_id", "type", "source_host")


class MigrationQuery(Value, frozen=True, kw_only=True):
    """Which moves. A filter that is None does not filter; `host` is where a server came from or went to."""

    server_id: str | None = None
    type: str | None = None
    host: str | None = None
    source_host: str | None = None


class Migrations:
    """The moves of servers, in the database; the latest first."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def list(self, query: MigrationQuery) -> Sequence[Migration]:
        """The moves that answer to `query`."""
        return await self._db.read(partial(_listed, query=query))

    async def get(self, server_id: str, migration_id: int) -> Migration:
        """One move of one server. Raises NotFound."""
        for migration in await self.list(MigrationQuery(server_id=server_id)):
            if migration.id == migration_id:
                return migration
        raise NotFound(kind="Migration", key=str(migration_id))


async def _listed(connection: AsyncConnection, query: MigrationQuery) -> Sequence[Migration]:
    wanted = ((name, getattr(query, name)) for name in _EQUALS)
    filters: list[Any] = [migrations.c[name] == value for name, value in wanted if value is not None]
    if query.host is not None:
        filters.append(or_(migrations.c.source_host == query.host, migrations.c.dest_host == query.host))
    rows = await connection.execute(select(*_COLUMNS).where(*filters).order_by(migrations.c.id.desc()))
    return [migration_of(row) for row in rows]
