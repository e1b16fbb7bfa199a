"""What is done to a server: started, stopped, rebooted, deleted, and what its console says.

An action is accepted by recording it (the state table guards, a task is made) and then ordered at the server's host. If
the bus fails in between, the task stands recorded and recovery orders it again: so an accepted action is answered as accepted.
"""

import logging
from typing import Final, TypeVar

from novaflow.clock import Clock
from novaflow.config import Config
from novaflow.db.hosts import Hosts
from novaflow.db.servers import Servers
from novaflow.errors import Conflict
from novaflow.messages import (
    GET_CONSOLE_OUTPUT,
    REBOOT_INSTANCE,
    START_INSTANCE,
    STOP_INSTANCE,
    TERMINATE_INSTANCE,
    ConsoleAsk,
    RebootOrder,
    ServerOrder,
)
from novaflow.models import Context, Server
from novaflow.operations.servers import visible_project
from novaflow.states import Event, Task
from rpc.bus import Bus
from rpc.errors import BusError
from rpc.procedure import Cast

_CONSOLE_TIMEOUT: Final = 30.0  # seconds a compute host may take to read a console
Order = TypeVar("Order", bound=ServerOrder)
log = logging.getLogger(__name__)


class ServerActions:
    """The actions on one server. All raise NotFound, and WrongState where the state table says no."""

    def __init__(self, servers: Servers, hosts: Hosts, bus: Bus, config: Config, clock: Clock) -> None:
        self._servers = servers
        self._hosts = hosts
        self._bus = bus
        self._config = config
        self._clock = clock

    async def start(self, context: Context, server_id: str) -> None:
        """Power a stopped server on. Raises Conflict for a server that never got a host."""
        ordered = await self._accept(context, server_id, "start", Event.START_ORDERED)
        await self._order(START_INSTANCE, ordered, _order_of(context, ordered))

    async def stop(self, context: Context, server_id: str) -> None:
        """Power a server off. Raises Conflict for a server that never got a host."""
        ordered = await self._accept(context, server_id, "stop", Event.STOP_ORDERED)
        await self._order(STOP_INSTANCE, ordered, _order_of(context, ordered))

    async def reboot(self, context: Context, server_id: str, *, hard: bool) -> None:
        """Restart a server by asking its guest, or by cutting its power. Raises Conflict for a server that never got a host."""
        event = Event.HARD_REBOOT_ORDERED if hard else Event.REBOOT_ORDERED
        ordered = await self._accept(context, server_id, "reboot", event)
        order = RebootOrder(context=context, server_id=ordered.id, task_id=ordered.task_id or "", hard=hard)
        await self._order(REBOOT_INSTANCE, ordered, order)

    async def delete(self, context: Context, server_id: str) -> None:
        """Delete a server, whatever it is doing. One that is on no host, or on a host that is down, is gone when this returns."""
        server = await self._get(context, server_id)
        if server.host is None:
            if await self._servers.delete_unplaced(context, server):
                return
            server = await self._get(context, server_id)  # it has got a host in the meantime
        if not await self._is_up(server.host):
            await self._servers.delete_locally(context, server)
        elif server.task is not Task.DELETING:
            await self._order_delete(context, server)

    async def _order_delete(self, context: Context, server: Server) -> None:
        ordered = await self._servers.order(context, server, "delete", Event.DELETE_ORDERED)
        if ordered.host is not None:
            await self._order(TERMINATE_INSTANCE, ordered, _order_of(context, ordered))
        else:
            await self._servers.delete_unplaced(context, ordered)  # its build has just left the host

    async def console_output(self, context: Context, server_id: str, lines: int | None) -> str:
        """The last `lines` lines (None: all that is kept) of the server's console.

        Raises Conflict for a server on no host, CallTimeout or Unroutable when its host does not answer.
        """
        server = await self._get(context, server_id)
        host = _host_of(server)
        asked = ConsoleAsk(server_id=server.id, lines=lines)
        return (await self._bus.call(GET_CONSOLE_OUTPUT.at(host), asked, timeout=_CONSOLE_TIMEOUT)).output

    async def _get(self, context: Context, server_id: str) -> Server:
        return await self._servers.get(server_id, project_id=visible_project(context))

    async def _is_up(self, name: str | None) -> bool:
        """Whether a host works off its orders. An unknown host does not."""
        hosts = await self._hosts.all(self._clock.now(), self._config.compute.service_down_time)
        return any(host.name == name and host.is_up for host in hosts)

    async def _accept(self, context: Context, server_id: str, action: str, event: Event) -> Server:
        server = await self._get(context, server_id)
        _host_of(server)
        return await self._servers.order(context, server, action, event)

    async def _order(self, procedure: Cast[Order], server: Server, order: Order) -> None:
        try:
            await self._bus.cast(procedure.at(_host_of(server)), order)
        except BusError as failure:
            # The task is recorded: recovery orders it again when the bus, or the host, is back.
            log.warning(
                "%s of server %s is recorded, but could not be ordered yet: %s", procedure.name, server.id, failure
            )


def _host_of(server: Server) -> str:
    if server.host is None:
        raise Conflict(reason=f"Instance {server.id} is not ready")
    return server.host


def _order_of(context: Context, server: Server) -> ServerOrder:
    return ServerOrder(context=context, server_id=server.id, task_id=server.task_id or "")
