"""Where a server moves to: the scheduler's part of a resize, a migration, an evacuation and an unshelving.

What stays true, wherever the process dies and however often a message comes:

- The claim is recorded before the order is sent, and a move has one claim at a time. A move that was claimed and not ordered is found
  with its host when the message comes again, and only the order is repeated.
- A server that has begun to move is not placed any more: the message is dropped, since its workers go on by themselves.
- No fitting host is an outcome: the server is as it was, or (an evacuation) in error, with every host's reason.
"""

import logging
from typing import Final

import msgspec

from novaflow.config import Scheduler
from novaflow.db.moving import EVACUATION, LIVE, RESIZE
from novaflow.db.servers import Servers
from novaflow.errors import NoValidHost, TaskSuperseded
from novaflow.messages import (
    LIVE_MIGRATION,
    PREP_RESIZE,
    REBUILD_INSTANCE,
    UNSHELVE_INSTANCE,
    MoveServer,
    PasswordOrder,
)
from novaflow.models import Fault, RequestSpec
from novaflow.placement.choose import fault_of
from novaflow.states import Event, Task
from novaflow.tasks import Assignment
from rpc.bus import Bus
from rpc.errors import Unroutable
from services.placer import Placer

CLAIMS: Final = 20  # hosts that may refuse one move's claim before it gives up
_PLACEABLE: Final = frozenset({Task.RESIZE_PREP, Task.MIGRATING, Task.REBUILDING, Task.UNSHELVING})
log = logging.getLogger(__name__)


class MovePlacing:
    """Places servers that move. A resized server may stay where it is if `same_host`."""

    def __init__(self, bus: Bus, servers: Servers, placer: Placer, *, same_host: bool) -> None:
        self._bus = bus
        self._servers = servers
        self._placer = placer
        self._same_host = same_host

    async def move(self, ask: MoveServer) -> None:
        """Choose, claim, order; or record that nothing fits. Raises TaskSuperseded for a task that is over."""
        found = await self._servers.assignment(ask.server_id, ask.task_id)
        if found.plan.server.task not in _PLACEABLE:
            log.info("server %s moves already: task %s needs no host", ask.server_id, ask.task_id)
            return
        try:
            await self._place(ask, found)
        except NoValidHost as error:
            await self._give_up(ask, found, fault_of(error, ask.last_failure))

    async def _place(self, ask: MoveServer, found: Assignment) -> None:
        spec = spec_of(ask.spec, found, same_host=self._same_host)
        refused: dict[str, str] = {}
        for _ in range(CLAIMS):
            host = _held(found) or await self._claimed(ask, spec, found, refused)
            if host is None:
                continue
            try:
                await self._order(ask, found, host)
            except Unroutable:
                refused[host] = "compute: no queue takes its messages"
                await self._unclaim(ask, found, host)
                found = await self._servers.assignment(ask.server_id, ask.task_id)
            else:
                return
        raise NoValidHost(refusals=refused)

    async def _claimed(
        self, ask: MoveServer, spec: RequestSpec, found: Assignment, refused: dict[str, str]
    ) -> str | None:
        """The host that has room for the server now; None, and one more refusal, when the chosen one has none after all."""

        async def claim(host: str, ratios: Scheduler) -> bool:
            if found.migration is None:
                return await self._servers.claim(ask.server_id, ask.task_id, host, spec, ratios)
            group = spec.hint("group")
            return await self._servers.claim_move(ask.server_id, ask.task_id, host, ratios, group_id=group)

        try:
            return await self._placer.claimed(spec, ask.server_id, ask.tried, refused, claim)
        except TaskSuperseded:
            # Another run of the same order was faster, or the server is another task's.
            earlier = _held(await self._servers.assignment(ask.server_id, ask.task_id))
            if earlier is None:
                raise
            return earlier

    async def _order(self, ask: MoveServer, found: Assignment, host: str) -> None:
        """Raises Unroutable when the destination is away."""
        move = found.migration
        if move is None:
            await self._bus.cast(UNSHELVE_INSTANCE.at(host), ask)
        elif move.type == EVACUATION:
            await self._servers.advance(ask.server_id, ask.task_id, Event.EVACUATION_PLACED)
            order = PasswordOrder(
                context=ask.context, server_id=ask.server_id, task_id=ask.task_id, admin_password=ask.admin_password
            )
            await self._bus.cast(REBUILD_INSTANCE.at(host), order)
        elif move.type == LIVE:
            await self._order_source(ask, found, move.source_host)
        else:
            await self._bus.cast(PREP_RESIZE.at(host), ask)

    async def _order_source(self, ask: MoveServer, found: Assignment, source: str) -> None:
        """Nobody but its own host can move a running guest: where that is away the task is over."""
        try:
            await self._bus.cast(LIVE_MIGRATION.at(source), ask)
        except Unroutable:
            message = f"Compute service of {source} is unavailable at this time."  # nova/exception.py
            await self._give_up(ask, found, Fault(code=400, message=message))

    async def _unclaim(self, ask: MoveServer, found: Assignment, host: str) -> None:
        if found.migration is None:
            await self._servers.advance(ask.server_id, ask.task_id, Event.UNSHELVE_UNPLACED, host=host)
        elif found.migration.type == EVACUATION:  # which has been handed over: the end of the task hands it back
            raise NoValidHost(refusals={host: "compute: no queue takes its messages"})
        else:
            await self._servers.unclaim_move(ask.server_id, ask.task_id, host)

    async def _give_up(self, ask: MoveServer, found: Assignment, fault: Fault) -> None:
        """As in Nova an evacuation that finds no host leaves the server in error; anything else leaves it as it was."""
        is_evacuation = found.migration is not None and found.migration.type == EVACUATION
        event = Event.BROKEN if is_evacuation else Event.FAILED
        await self._servers.advance(ask.server_id, ask.task_id, event, fault=fault)


def spec_of(spec: RequestSpec, found: Assignment, *, same_host: bool) -> RequestSpec:
    """What is asked of the hosts: room for what the server will be, and not where it is; the host that its build forced is forgotten."""
    asked = msgspec.structs.replace(
        spec,
        force_host=found.params.target_host,
        availability_zone=found.params.availability_zone or spec.availability_zone,
    )
    move = found.migration
    if move is None:
        return asked
    stays = move.type == RESIZE and same_host
    ignored = asked.ignore_hosts if stays else (*asked.ignore_hosts, move.source_host)
    return msgspec.structs.replace(asked, flavor=move.new_flavor, ignore_hosts=ignored)


def _held(found: Assignment) -> str | None:
    """The host where an earlier run has claimed room for the server."""
    server, move = found.plan.server, found.migration
    if move is None:
        return server.host
    return move.claim_host if server.host == move.source_host else server.host
