"""What becomes of a task whose worker failed: it ends with its fault, or goes on elsewhere, or the guest is put back first.

A report may come twice. Whatever it leads to is recorded before it is ordered, and ordered again by a repeat. A server that moves has
workers on two hosts, so what one of them reports is fenced by the task and by its part in the move.
"""

from typing import Final, Protocol

import msgspec

from novaflow.config import Scheduler
from novaflow.db.moving import EVACUATION
from novaflow.db.servers import Servers
from novaflow.messages import (
    BUILD_INSTANCES,
    MOVE_SERVER,
    ROLL_BACK_LIVE_MIGRATION,
    ROLL_BACK_RESIZE,
    BuildInstance,
    Failure,
    MoveServer,
    ServerOrder,
)
from novaflow.models import Fault
from novaflow.states import Event, State, Task, Vm
from novaflow.tasks import Assignment, Migration
from rpc.bus import Bus
from rpc.errors import Unroutable

_HANDED_OVER: Final = frozenset({Task.RESIZE_MIGRATED, Task.RESIZE_FINISH})


class _Placement(Protocol):
    """What is known of the hosts that were tried."""

    @property
    def server_id(self) -> str: ...

    @property
    def attempt(self) -> int: ...


class Failures:
    """Decides, records and orders."""

    def __init__(self, bus: Bus, servers: Servers, settings: Scheduler) -> None:
        self._bus = bus
        self._servers = servers
        self._settings = settings

    async def report(self, ask: Failure) -> State:
        """The state that the failure leads to. Raises TaskSuperseded when the server has moved on."""
        if ask.build is not None:
            return await self._of_build(ask, ask.build)
        move = await self._servers.migration(ask.server_id)
        if move is not None:
            return await self._of_move(ask, move)
        if ask.move is not None and ask.may_retry:
            return await self._of_unshelve(ask, ask.move)
        return await self._end(ask, ask.fault, ask.host)

    async def _of_build(self, ask: Failure, build: BuildInstance) -> State:
        if not ask.may_retry:
            return await self._advance(ask, Event.BUILD_FAILED, ask.fault, ask.host)
        if build.attempt >= self._settings.max_attempts:
            return await self._advance(ask, Event.BUILD_FAILED, _exhausted(build, ask.fault), ask.host)
        state = await self._advance(ask, Event.RESCHEDULED, ask.fault, ask.host)
        tried = (*build.tried, ask.host)
        again = msgspec.structs.replace(build, attempt=build.attempt + 1, tried=tried, last_failure=ask.fault.message)
        await self._bus.cast(BUILD_INSTANCES, again)
        return state

    async def _of_unshelve(self, ask: Failure, move: MoveServer) -> State:
        if (await self._servers.get(ask.server_id)).vm is not Vm.SHELVED_OFFLOADED:
            return await self._end(ask, ask.fault, ask.host)  # it is still on its host, with its guest
        if move.attempt >= self._settings.max_attempts:
            return await self._end(ask, _exhausted(move, ask.fault), ask.host)
        state = await self._advance(ask, Event.UNSHELVE_UNPLACED, ask.fault, ask.host)
        await self._elsewhere(ask, move)
        return state

    async def _of_move(self, ask: Failure, move: Migration) -> State:
        assignment = await self._servers.assignment(ask.server_id, ask.task_id, ask.host)
        task = assignment.plan.server.task
        if ask.host != assignment.plan.server.host or not ask.power:
            ask = msgspec.structs.replace(ask, power=None)  # where the server is not it says nothing of it
        if task in _HANDED_OVER:
            state = await self._advance(ask, Event.RESIZE_ROLLED_BACK, ask.fault, None)
            await self._bus.cast(ROLL_BACK_RESIZE.at(move.source_host), _order(ask))
            return state
        if task is Task.RESIZE_MIGRATING and not (ask.is_undone or ask.is_broken):
            # A repeat: the server is its source's again, which has yet to put the guest back.
            await self._bus.cast(ROLL_BACK_RESIZE.at(move.source_host), _order(ask))
            return assignment.plan.server.state
        is_refused = task is Task.RESIZE_PREP and ask.host == move.claim_host and ask.may_retry
        if is_refused and ask.move is not None and not assignment.params.target_host:
            return await self._of_preparation(ask, ask.move, assignment)
        if move.type == EVACUATION:  # what it was is lost with its host
            return await self._advance(ask, Event.BROKEN, ask.fault, None)
        state = await self._end_move(ask, task)
        if task is Task.MIGRATING and move.dest_host is not None:
            await self._clear_destination(ask, move.dest_host)
        return state

    async def _end_move(self, ask: Failure, task: Task) -> State:
        if ask.is_aborted and task is Task.MIGRATING:  # as was wanted: no fault
            return await self._servers.advance(
                ask.server_id, ask.task_id, Event.LIVE_MIGRATION_CANCELLED, told_by=ask.host, power=ask.power
            )
        return await self._end(ask, ask.fault, None)

    async def _of_preparation(self, ask: Failure, move: MoveServer, assignment: Assignment) -> State:
        if move.attempt >= self._settings.max_attempts:
            return await self._end(ask, _exhausted(move, ask.fault), None)
        await self._servers.unclaim_move(ask.server_id, ask.task_id, ask.host)
        await self._elsewhere(ask, move)
        return assignment.plan.server.state

    async def _elsewhere(self, ask: Failure, move: MoveServer) -> None:
        tried = (*move.tried, ask.host)
        again = msgspec.structs.replace(move, attempt=move.attempt + 1, tried=tried, last_failure=ask.fault.message)
        await self._bus.cast(MOVE_SERVER, again)

    async def _clear_destination(self, ask: Failure, host: str) -> None:
        """The guest goes on at its source; what was made ready for it goes. A host that is away finds it when it comes back."""
        try:
            await self._bus.cast(ROLL_BACK_LIVE_MIGRATION.at(host), _order(ask))
        except Unroutable:
            return

    async def _end(self, ask: Failure, fault: Fault, host: str | None) -> State:
        return await self._advance(ask, Event.BROKEN if ask.is_broken else Event.FAILED, fault, host)

    async def _advance(self, ask: Failure, event: Event, fault: Fault, host: str | None) -> State:
        return await self._servers.advance(ask.server_id, ask.task_id, event, host=host, power=ask.power, fault=fault)


def _order(ask: Failure) -> ServerOrder:
    return ServerOrder(context=ask.context, server_id=ask.server_id, task_id=ask.task_id)


def _exhausted(placement: _Placement, last: Fault) -> Fault:
    """Nova's words (MaxRetriesExceeded) when the last host that was allowed has failed too."""
    said = (
        f"Exceeded maximum number of retries. Exceeded max scheduling attempts {placement.attempt} "
        f"for instance {placement.server_id}. Last exception: {last.message}"
    )
    return msgspec.structs.replace(last, code=500, message=said)
