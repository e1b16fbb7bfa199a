"""The other servers that a placement is about: those of its group, and those that its hints name."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.database import Database
from novaflow.db.grouping import group_of, hosts_of
from novaflow.models import RequestSpec
from novaflow.placement.asking import Group

_NAMING: Final = ("same_host", "different_host")


@dataclass(frozen=True)
class Companions:
    """Where they are now: the group, and the hosts of the servers that are named, by server."""

    group: Group | None
    homes: dict[str, str]


class ReadCompanions:
    """Asks the database for them, if the spec speaks of any."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def __call__(self, spec: RequestSpec, server_id: str) -> Companions:
        """Those of this server; of none when nothing is said of others, which costs nothing."""
        group_id = spec.hint("group")
        named = {server for hint in _NAMING for server in spec.hint_list(hint)}
        if not group_id and not named:
            return Companions(None, {})

        async def work(connection: AsyncConnection) -> Companions:
            group = await group_of(connection, group_id, server_id) if group_id else None
            return Companions(group, await hosts_of(connection, sorted(named)) if named else {})

        return await self._db.read(work)
