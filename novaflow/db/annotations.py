"""Changing what a server's owner says about it by what he said before: nobody's change is lost to another's.

The server's row is locked while its new values are decided, so of two changes in one moment the second sees the first.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.records import SERVER_COLUMNS, server_of
from novaflow.db.schema.compute import servers
from novaflow.errors import NotFound
from novaflow.models import Server

Decide = Callable[[Server], Mapping[str, Any]]
"""From the server as it is, its new `metadata` or `tags`; nothing for no change. Pure: it may be asked twice."""

_LOCK: Final = select(*SERVER_COLUMNS).where(servers.c.id == bindparam("b_id")).with_for_update()
_CHANGE: Final = update(servers).where(servers.c.id == bindparam("b_id"))


async def change(
    connection: AsyncConnection, server_id: str, project_id: str | None, decide: Decide, now: datetime
) -> Server:
    """The server with what was decided. Raises NotFound, and what `decide` raises, which then changes nothing."""
    row = (await connection.execute(_LOCK, {"b_id": server_id})).one_or_none()
    server = None if row is None else server_of(row)
    if server is None or server.deleted_at is not None or project_id not in (None, server.project_id):
        raise NotFound(kind="Instance", key=server_id)
    changes = dict(decide(server))
    if not changes:
        return server
    changes["updated_at"] = now
    await connection.execute(_CHANGE.values(**changes), {"b_id": server_id})
    return msgspec.structs.replace(server, **changes)
