"""The servers: every read, and the only writer of their states.

Each method is one transaction over the functions of the sibling modules. After a commit `on_transition` is told what
happened, once per history row. Everything that writes may be repeated, by a caller that did not hear
the answer or by novaflow.db.database after a lost connection, and then changes nothing more.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, false, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db import accompaniments, annotations, creation, listing, orders, tasks
from novaflow.db.creation import NewServer
from novaflow.db.inserts import is_duplicate
from novaflow.db.listing import ServerQuery
from novaflow.db.records import SERVER_COLUMNS, server_of
from novaflow.db.schema.compute import server_builds, servers
from novaflow.db.server_records import GET, find
from novaflow.db.server_reports import ServerReports
from novaflow.db.server_upkeep import ServerUpkeep
from novaflow.db.tasks import StaleTask
from novaflow.db.transitions import Transition
from novaflow.errors import NotFound
from novaflow.models import ClientToken, Context, Fault, Server, ServerName
from novaflow.quotas import QuotaLimits
from novaflow.states import ACTIONS, Event
from novaflow.tasks import TaskEvent, TaskParams, TaskRecord

__all__ = ["NewServer", "ServerQuery", "Servers", "StaleTask", "Transition"]

_GET_IN_FULL: Final = (
    select(*SERVER_COLUMNS, server_builds.c.user_data)
    .join_from(servers, server_builds, server_builds.c.server_id == servers.c.id, isouter=True)
    .where(servers.c.id == bindparam("b_id"))
)
_UNCHANGED: Final = msgspec.UNSET


class Servers(ServerReports, ServerUpkeep):
    """The servers of the cloud, in the database: what the API asks, beside what workers report and what keeps it all together."""

    async def create(
        self,
        context: Context,
        drafts: Sequence[NewServer],
        limits: QuotaLimits,
        *,
        once: ClientToken | None = None,
    ) -> list[Server]:
        """Make servers, each waiting for a host with a `create` task; all of them or none, and once for one client token.

        Raises QuotaExceeded, TokenTaken. Drafts that were made before are answered as they are now.
        """
        if not drafts:
            return []
        plan = creation.plan(context, drafts, self._clock.now(), once)
        try:
            await self._db.write(partial(creation.write, creation=plan, limits=limits))
        except IntegrityError as error:
            found = await self.list(ServerQuery(project_id=context.project_id, ids=tuple(d.id for d in drafts)))
            if not is_duplicate(error) or len(found) < len(drafts):
                raise
            return sorted(found, key=lambda server: server.launch_index)
        self._told(transition for _, transition in plan.history)
        return list(plan.servers)

    async def get(self, server_id: str, *, project_id: str | None = None, deleted: bool = False) -> Server:
        """One server, of one project or of any; deleted ones only when asked for. Raises NotFound."""
        server = await self._db.read(partial(find, server_id=server_id))
        return _visible(server, server_id, project_id, deleted=deleted)

    async def get_in_full(self, server_id: str, *, project_id: str | None = None) -> tuple[Server, str]:
        """The same, and the user data (base64) that it was made with; empty when there was none. It may hold secrets."""

        async def work(connection: AsyncConnection) -> Sequence[Any] | None:
            return (await connection.execute(_GET_IN_FULL, {"b_id": server_id})).one_or_none()

        row = await self._db.read(work)
        server = None if row is None else server_of(row[:-1])
        return _visible(server, server_id, project_id), (row[-1] or "" if row is not None else "")

    async def update(
        self,
        server_id: str,
        project_id: str | None,
        *,
        name: str | msgspec.UnsetType = _UNCHANGED,
        description: str | msgspec.UnsetType | None = _UNCHANGED,
        metadata: dict[str, str] | msgspec.UnsetType = _UNCHANGED,
        tags: tuple[str, ...] | msgspec.UnsetType = _UNCHANGED,
        access_ipv4: str | msgspec.UnsetType = _UNCHANGED,
        access_ipv6: str | msgspec.UnsetType = _UNCHANGED,
        hostname: str | msgspec.UnsetType = _UNCHANGED,
        disk_config: str | msgspec.UnsetType = _UNCHANGED,
        is_locked: bool | msgspec.UnsetType = _UNCHANGED,
    ) -> Server:
        """Change what a user may say about a server; what is not given stays. Raises NotFound."""
        given = {
            "name": name,
            "description": description,
            "metadata": metadata,
            "tags": tags,
            "access_ipv4": access_ipv4,
            "access_ipv6": access_ipv6,
            "hostname": hostname,
            "disk_config": disk_config,
            "is_locked": is_locked,
        }
        changes = {key: value for key, value in given.items() if value is not _UNCHANGED}
        mine = (servers.c.id == server_id) & (servers.c.is_deleted == false())
        if project_id is not None:
            mine &= servers.c.project_id == project_id
        statement = update(servers).where(mine).values(**changes, updated_at=self._clock.now())

        async def work(connection: AsyncConnection) -> Server:
            if (await connection.execute(statement)).rowcount == 0:
                raise NotFound(kind="Instance", key=server_id)
            return server_of((await connection.execute(GET, {"b_id": server_id})).one())

        return await self._db.write(work)

    async def annotate(self, server_id: str, project_id: str | None, decide: annotations.Decide) -> Server:
        """Change metadata or tags by what they are at the moment, with the server's row locked.

        Raises NotFound, and what `decide` raises, which then changes nothing.
        """
        now = self._clock.now()
        return await self._db.write(
            partial(annotations.change, server_id=server_id, project_id=project_id, decide=decide, now=now)
        )

    async def order(
        self,
        context: Context,
        server: Server,
        action: str,
        event: Event,
        *,
        params: TaskParams = orders.NO_PARAMS,
        changes: Mapping[str, Any] | None = None,
        accompany: orders.Accompany | None = None,
    ) -> Server:
        """Accept an action on a server: it has a task for it now. `server` is as the caller read it.

        `params` are kept with the task, `changes` are made to the server's own columns, and `accompany` writes what else belongs to the
        order, all in the same transaction. A DELETE_ORDERED, and any other order that the state table allows while a task runs,
        takes that task's place. Raises WrongState, Locked, NeverActive, NotFound, and what `accompany` raises.
        """
        more = {"params": params, "changes": changes or {}, "accompany": accompany}
        order = orders.plan(context, server.id, action, event, self._clock.now(), **more)
        accepted = await self._db.write(partial(orders.accept, order=order, seen=server))
        self._told(accepted.transitions)
        return accepted.server or await self.get(server.id, deleted=True)

    async def reset(self, context: Context, server: Server, event: Event, *, fault: Fault | None = None) -> None:
        """Say what state a server is in (os-resetState), whatever was going on; `fault` says why. Raises NotFound."""
        now = self._clock.now()
        changes = {} if fault is None else {"fault": msgspec.structs.replace(fault, created_at=now)}
        order = orders.plan(context, server.id, ACTIONS[event].name, event, now, changes=changes)
        self._told(await self._db.write(partial(orders.settle_here, order=order)))

    async def delete_unplaced(self, context: Context, server: Server) -> bool:
        """Delete a server that has no host, at once and with all it takes; False when it has a host. Raises NotFound."""
        return await self._delete_here(context, server, on_host=False)

    async def delete_locally(self, context: Context, server: Server) -> None:
        """Delete a server whose host is down, at once and with all it takes; the host cleans up when it is back.

        Raises NotFound.
        """
        await self._delete_here(context, server, on_host=True)

    async def _delete_here(self, context: Context, server: Server, *, on_host: bool) -> bool:
        order = orders.plan(context, server.id, orders.DELETE, Event.DELETE_ORDERED, self._clock.now())
        steps = await self._db.write(partial(orders.delete_here, order=order, on_host=on_host))
        self._told(steps or ())
        return steps is not None

    async def shelf_image(self, server_id: str) -> str:
        """The image that a server was last shelved as; empty when it never was."""
        return (await self._db.read(partial(accompaniments.shelved_as, server_id=server_id))).image_id

    async def actions(self, server_id: str) -> list[TaskRecord]:
        """Every task of a server, newest first; also of a deleted one."""
        return await self._db.read(partial(tasks.of_server, server_id=server_id))

    async def action(self, server_id: str, request_id: str) -> tuple[TaskRecord, list[TaskEvent]]:
        """What one request ordered of a server, and its steps. Raises NotFound."""

        async def work(connection: AsyncConnection) -> tuple[TaskRecord, list[TaskEvent]] | None:
            task = await tasks.of_request(connection, server_id, request_id)
            return None if task is None else (task, await tasks.steps(connection, task))

        found = await self._db.read(work)
        if found is None:
            raise NotFound(kind="Action for request_id", key=f"{request_id} on instance {server_id}")
        return found

    async def list(self, query: ServerQuery) -> list[Server]:
        """The servers that answer to `query`, in its order. Raises Invalid."""
        return await self._db.read(partial(listing.listed, query=query))

    async def names(self, query: ServerQuery) -> Sequence[ServerName]:
        """The same by id and name alone. Raises Invalid."""
        return await self._db.read(partial(listing.named, query=query))


def _visible(server: Server | None, server_id: str, project_id: str | None, *, deleted: bool = False) -> Server:
    hidden = server is None or (project_id is not None and server.project_id != project_id)
    if server is None or hidden or (server.deleted_at is not None and not deleted):
        raise NotFound(kind="Instance", key=server_id)
    return server
