"""How an action on a server is accepted and ordered, whichever it is.

An action is accepted by recording it (the state table guards, a task is made) and then ordered at the server's host. If
the bus fails in between, the task stands recorded and recovery orders it again: so an accepted action is answered as accepted.
"""

import logging
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from novaflow import guards
from novaflow.clock import Clock
from novaflow.config import Config
from novaflow.db.hosts import Hosts
from novaflow.db.orders import NO_PARAMS, Accompany
from novaflow.db.servers import Servers
from novaflow.errors import Conflict
from novaflow.hosts import Host
from novaflow.messages import MOVE_SERVER, MoveServer, ServerOrder
from novaflow.models import Context, Server, Value
from novaflow.operations.servers import visible_project
from novaflow.states import ACTIONS, Event
from novaflow.tasks import TaskParams
from rpc.bus import Bus
from rpc.errors import BusError
from rpc.procedure import Call, Cast

Order = TypeVar("Order", bound=Value)
Answer = TypeVar("Answer")
_CALL_TIMEOUT: Final = 30.0  # seconds a compute host may take to look at a guest
log = logging.getLogger(__name__)


class ServerOrders:
    """What every action stands on: the server as its owner sees it, the guarded record, the order on the bus."""

    def __init__(self, servers: Servers, hosts: Hosts, bus: Bus, config: Config, clock: Clock) -> None:
        self.servers = servers
        self.config = config
        self._hosts = hosts
        self._bus = bus
        self._clock = clock

    async def get(self, context: Context, server_id: str) -> Server:
        """A server that the caller may see. Raises NotFound."""
        return await self.servers.get(server_id, project_id=visible_project(context))

    def check(self, context: Context, server: Server, event: Event, action: str = "") -> None:
        """Whether an action may be ordered now. Raises Locked, WrongState, NeverActive, and Conflict for a server on no host."""
        guards.check(context, server, action or ACTIONS[event].name, event)
        host_of(server)

    async def accept(
        self,
        context: Context,
        server: Server,
        event: Event,
        *,
        action: str = "",
        params: TaskParams = NO_PARAMS,
        changes: Mapping[str, Any] | None = None,
        accompany: Accompany | None = None,
    ) -> Server:
        """Give the server a task for this action; raises as `check`, NotFound, and what `accompany` raises.

        The action's name is the table's unless it is given.
        """
        self.check(context, server, event, action)
        named = action or ACTIONS[event].name
        more: dict[str, Any] = {"params": params, "changes": changes, "accompany": accompany}
        return await self.servers.order(context, server, named, event, **more)

    async def act(self, context: Context, server_id: str, event: Event, procedure: Cast[ServerOrder]) -> None:
        """Accept an action that says no more than its name, and order it at the server's host."""
        ordered = await self.accept(context, await self.get(context, server_id), event)
        await self.send(procedure.at(host_of(ordered)), order_of(context, ordered))

    async def send(self, procedure: Cast[Order], order: Order) -> None:
        """Order what has been accepted. A bus that is away is no failure of the action."""
        try:
            await self._bus.cast(procedure, order)
        except BusError as failure:
            log.warning("%r is recorded, but %s could not be ordered yet: %s", order, procedure.name, failure)

    async def ask(self, procedure: Call[Order, Answer], server: Server, question: Order) -> Answer:
        """What the server's host says; raises Conflict for a server on no host, CallTimeout or Unroutable when it does not answer."""
        return await self._bus.call(procedure.at(host_of(server)), question, timeout=_CALL_TIMEOUT)

    async def send_to_scheduler(self, context: Context, server: Server, *, admin_password: str = "") -> None:
        """Have the scheduler find the host that the server's task wants; what the task wants is recorded with it."""
        await self.send(MOVE_SERVER, await self.move_of(context, server, admin_password=admin_password))

    async def move_of(self, context: Context, server: Server, *, admin_password: str = "") -> MoveServer:
        """The message about a move, or an unshelving, that was accepted."""
        return MoveServer(
            context=context,
            server_id=server.id,
            task_id=server.task_id or "",
            spec=await self.servers.spec(server.id),
            admin_password=admin_password,
        )

    async def host(self, name: str) -> Host | None:
        """A compute host by its name, as it is now."""
        hosts = await self._hosts.all(self._clock.now(), self.config.compute.service_down_time)
        return next((host for host in hosts if host.name == name), None)

    async def is_up(self, name: str | None) -> bool:
        """Whether a host works off its orders. An unknown host does not."""
        host = await self.host(name) if name else None
        return host is not None and host.is_up


def host_of(server: Server) -> str:
    """Where the server is; raises Conflict when it is nowhere."""
    if server.host is None:
        raise Conflict(reason=f"Instance {server.id} is not ready")
    return server.host


def order_of(context: Context, server: Server) -> ServerOrder:
    """The order of the task that has just got the server."""
    return ServerOrder(context=context, server_id=server.id, task_id=server.task_id or "")
