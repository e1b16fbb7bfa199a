"""What workers report of servers, and ask about the tasks they work on. All of it is fenced by the task."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow import config
from novaflow.db import addressing, assigning, building, moving, placing, tasks, transitions
from novaflow.db.server_records import ServerRecords, find
from novaflow.db.transitions import Moved
from novaflow.errors import BuildGivenUp, NotFound, TaskSuperseded
from novaflow.models import Address, BuildPlan, Fault, RequestSpec, Server
from novaflow.states import Event, Power, State
from novaflow.tasks import Assignment, Migration, TaskRecord

_STARTS: Final = config.Conductor().task_attempts


class ServerReports(ServerRecords):
    """The steps of tasks, from the claim of a host to the end."""

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
        takes_volumes: bool = False,
        then: Sequence[Event] = (),
    ) -> State:
        """Move a server along one row of the state table; answers the state it is in then.

        Events that followed at once (`then`) are recorded in the same transaction, of the same time: all of them or none.
        An event that settles the server ends the task. DELETED gives back all the server had; RESCHEDULED and
        BUILD_FAILED take it off its host. A repeat answers the state. Raises TaskSuperseded when the server is
        another task's or not on `host` (with `is_unplaced`: on any), IllegalTransition. `told_by` is the host
        that says so, where that is another one. With `takes_volumes` the volumes that were booked for it are the server's now.
        """
        more = {
            "host": host,
            "told_by": told_by,
            "power": power,
            "fault": fault,
            "addresses": addresses,
            "is_unplaced": is_unplaced,
            "takes_volumes": takes_volumes,
        }
        first = self._step(server_id, task_id, event, **more)
        steps = [first, *(replace(self._step(server_id, task_id, later, host=host), now=first.now) for later in then)]
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
        return await self._has_room(work)

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
        return await self._has_room(work)

    async def _has_room(self, work: Callable[[AsyncConnection], Awaitable[None]]) -> bool:
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
        server = await self._db.read(partial(find, server_id=server_id))
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
