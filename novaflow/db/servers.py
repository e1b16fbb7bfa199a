"""The servers: every read, and the only writer of their states.

Each method is one transaction over the functions of the sibling modules. After a commit `on_transition` is told what
happened, once per history row. Everything that writes may be repeated, by a caller that did not hear
the answer or by novaflow.db.database after a lost connection, and then changes nothing more.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, false, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow import config
from novaflow.clock import Clock
from novaflow.db import (
    addressing,
    annotations,
    assigning,
    building,
    creation,
    judging,
    listing,
    moving,
    orders,
    placing,
    tasks,
    transitions,
)
from novaflow.db.creation import NewServer
from novaflow.db.database import Database
from novaflow.db.ids import row_id
from novaflow.db.inserts import is_duplicate
from novaflow.db.listing import ServerQuery
from novaflow.db.records import SERVER_COLUMNS, server_of
from novaflow.db.schema.compute import server_builds, servers
from novaflow.db.tasks import StaleTask
from novaflow.db.transitions import Moved, Step, Transition
from novaflow.errors import BuildGivenUp, NotFound, TaskSuperseded
from novaflow.messages import HostedServer
from novaflow.models import (
    Address,
    Assignment,
    BuildPlan,
    Context,
    Fault,
    Migration,
    QuotaLimits,
    RequestSpec,
    Server,
    ServerName,
    TaskEvent,
    TaskParams,
    TaskRecord,
    Verdict,
)
from novaflow.states import ACTIONS, Event, Power, State, Vm

__all__ = ["NewServer", "ServerQuery", "Servers", "StaleTask", "Transition"]

_GET: Final = select(*SERVER_COLUMNS).where(servers.c.id == bindparam("b_id"))
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
_GET_IN_FULL: Final = (
    select(*SERVER_COLUMNS, server_builds.c.user_data)
    .join_from(servers, server_builds, server_builds.c.server_id == servers.c.id, isouter=True)
    .where(servers.c.id == bindparam("b_id"))
)
_UNCHANGED: Final = msgspec.UNSET
_STARTS: Final = config.Conductor().task_attempts


def ignore(_transition: Transition) -> None:
    """Nobody wants to know."""


class Servers:
    """The servers of the cloud, in the database."""

    def __init__(self, db: Database, clock: Clock, on_transition: Callable[[Transition], None] = ignore) -> None:
        self._db = db
        self._clock = clock
        self._tell = on_transition

    # What the API asks.

    async def create(self, context: Context, drafts: Sequence[NewServer], limits: QuotaLimits) -> list[Server]:
        """Make servers, each waiting for a host with a `create` task; all of them or none.

        Raises QuotaExceeded. Drafts that were made before are answered as they are now.
        """
        if not drafts:
            return []
        plan = creation.plan(context, drafts, self._clock.now())
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
        server = await self._db.read(partial(_find, server_id=server_id))
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
            return server_of((await connection.execute(_GET, {"b_id": server_id})).one())

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

    # What workers report. All of it is fenced by the task.

    async def advance(
        self,
        server_id: str,
        task_id: str,
        event: Event,
        *,
        host: str | None = None,
        told_by: str | None = None,
        power: Power | None = None,
        fault: Fault | None = None,
        addresses: tuple[Address, ...] | None = None,
        is_unplaced: bool = False,
        then: Sequence[Event] = (),
    ) -> State:
        """Move a server along one row of the state table; answers the state it is in then.

        Events that followed at once (`then`) are recorded in the same transaction: all of them or none.
        An event that settles the server ends the task. DELETED gives back all the server had; RESCHEDULED and
        BUILD_FAILED take it off its host. A repeat answers the state. Raises TaskSuperseded when the server is
        another task's or not on `host` (with `is_unplaced`: on any), IllegalTransition. `told_by` is the host
        that says so, where that is another one.
        """
        more = {
            "host": host,
            "told_by": told_by,
            "power": power,
            "fault": fault,
            "addresses": addresses,
            "is_unplaced": is_unplaced,
        }
        steps = [self._step(server_id, task_id, event, **more)]
        steps += [self._step(server_id, task_id, later, host=host) for later in then]
        moves = await self._db.write(partial(transitions.move_along, steps=steps))
        self._told(moved.transition for moved in moves if moved.transition)
        return moves[-1].state

    async def claim(
        self,
        server_id: str,
        task_id: str,
        host: str,
        spec: RequestSpec,
        ratios: config.Scheduler,
    ) -> bool:
        """Put a server on a host that has room for it; False when it is full now.

        True again for a repeat with the same host; raises TaskSuperseded when the server moved on, GroupForbids
        (novaflow.db.grouping) when the policy of its group forbids the host.
        """
        work = partial(
            placing.place,
            server_id=server_id,
            task_id=task_id,
            host=host,
            flavor=spec.flavor,
            ratios=ratios,
            now=self._clock.now(),
            group_id=spec.hint("group"),
        )
        try:
            await self._db.write(work)
        except placing.HostFull:
            return False
        return True

    async def claim_move(
        self, server_id: str, task_id: str, host: str, ratios: config.Scheduler, *, group_id: str = ""
    ) -> bool:
        """Take room on a host for a server that will move there; False when it is full now.

        True again for a repeat with the same host; raises TaskSuperseded when the server moved on or has room on another host,
        GroupForbids as `claim`.
        """
        work = partial(
            placing.place_move,
            server_id=server_id,
            task_id=task_id,
            host=host,
            ratios=ratios,
            now=self._clock.now(),
            group_id=group_id,
        )
        try:
            await self._db.write(work)
        except placing.HostFull:
            return False
        return True

    async def unclaim_move(self, server_id: str, task_id: str, host: str) -> None:
        """Give back what a move claimed on `host`, which did not take the server; raises TaskSuperseded when it moved on."""
        await self._db.write(
            partial(placing.unplace_move, server_id=server_id, task_id=task_id, host=host, now=self._clock.now())
        )

    async def start_build(self, server_id: str, task_id: str, host: str, *, at_most: int = _STARTS) -> BuildPlan:
        """BUILD_STARTED, and everything the host needs to build the server. Raises as `advance`.

        A build that was started `at_most` times on this host ends instead: BUILD_FAILED, and BuildGivenUp is raised.
        """
        step = self._step(server_id, task_id, Event.BUILD_STARTED, host=host)
        plan, moved = await self._db.write(partial(building.start, step=step, at_most=at_most))
        self._told([moved.transition] if moved.transition else [])
        if isinstance(plan, BuildGivenUp):
            raise plan
        return plan

    async def allocate_network(
        self, server_id: str, task_id: str, host: str, network: config.Network
    ) -> tuple[Address, ...]:
        """NETWORK_WANTED, and the addresses that are the server's until it is deleted; the same ones every time.

        Raises as `advance`, and Conflict when the network has none left.
        """
        step = self._step(server_id, task_id, Event.NETWORK_WANTED, host=host)

        async def work(connection: AsyncConnection) -> tuple[Moved, tuple[Address, ...]]:
            given = (await addressing.assign(connection, server_id, network),)
            return await transitions.move(connection, replace(step, addresses=given)), given

        moved, given = await self._db.write(work)
        self._told([moved.transition] if moved.transition else [])
        return given

    async def owned(self, server_id: str, task_id: str, host: str) -> Server:
        """The server, if it is this task's and on this host; raises TaskSuperseded."""
        server = await self._db.read(partial(_find, server_id=server_id))
        if server is None or (server.task_id, server.host) != (task_id, host):
            raise TaskSuperseded(server_id=server_id, task_id=task_id)
        return server

    async def assignment(self, server_id: str, task_id: str, host: str | None = None) -> Assignment:
        """All that is to know of a task that owns a server; raises TaskSuperseded when it does not, or is not `host`'s to do.

        Of a server that moves, both of its hosts are workers.
        """
        found = await self._db.read(partial(assigning.find, server_id=server_id, task_id=task_id))
        if found is None or (host is not None and host not in assigning.workers(found)):
            raise TaskSuperseded(server_id=server_id, task_id=task_id)
        return found

    async def task(self, task_id: str) -> TaskRecord:
        """One task, over or not. Raises NotFound."""
        found = await self._db.read(partial(tasks.get, task_id=task_id))
        if found is None:
            raise NotFound(kind="Task", key=task_id)
        return found

    async def migration(self, server_id: str) -> Migration | None:
        """The move that a server is in, if any."""
        return await self._db.read(partial(moving.look, server_id=server_id))

    async def spec(self, server_id: str) -> RequestSpec:
        """What the scheduler needs to place the server (again). Raises NotFound."""
        return await self._db.read(partial(building.spec, server_id=server_id))

    # What keeps hosts, servers and tasks together.

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
            return await _find(connection, server_id)

        return await self._db.write(work)

    async def stale_tasks(self, before: datetime, limit: int) -> list[StaleTask]:
        """Running tasks without a sign of life since `before`, the longest silent first."""
        return await self._db.read(partial(tasks.stale, before=before, limit=limit))

    async def renew(self, task_ids: Sequence[str]) -> None:
        """A sign of life of these tasks: somebody works on them."""
        if task_ids:
            await self._db.write(partial(tasks.renew, task_ids=task_ids, now=self._clock.now()))

    async def retake(self, task_id: str, seen: datetime) -> bool:
        """Take up a stale task again, once more attempted; `seen` is its `updated_at` as it was read.

        False when it is over, showed a sign of life since, or somebody else was faster.
        """
        return await self._db.write(partial(tasks.retake, task_id=task_id, seen=seen, now=self._clock.now()))

    async def list(self, query: ServerQuery) -> list[Server]:
        """The servers that answer to `query`, in its order. Raises Invalid."""
        return await self._db.read(partial(listing.listed, query=query))

    async def names(self, query: ServerQuery) -> Sequence[ServerName]:
        """The same by id and name alone. Raises Invalid."""
        return await self._db.read(partial(listing.named, query=query))

    def _step(self, server_id: str, task_id: str, event: Event, **more: Any) -> Step:
        now = self._clock.now()
        fault: Fault | None = more.get("fault")
        if fault is not None and fault.created_at is None:
            more["fault"] = msgspec.structs.replace(fault, created_at=now)
        return Step(server_id=server_id, task_id=task_id, event=event, now=now, row_id=row_id(now), **more)

    def _told(self, happened: Iterable[Transition]) -> None:
        for transition in happened:
            self._tell(transition)


async def _find(connection: AsyncConnection, server_id: str) -> Server | None:
    row = (await connection.execute(_GET, {"b_id": server_id})).one_or_none()
    return None if row is None else server_of(row)


def _visible(server: Server | None, server_id: str, project_id: str | None, *, deleted: bool = False) -> Server:
    hidden = server is None or (project_id is not None and server.project_id != project_id)
    if server is None or hidden or (server.deleted_at is not None and not deleted):
        raise NotFound(kind="Instance", key=server_id)
    return server
