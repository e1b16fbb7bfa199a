"""A server's power and memory: started, stopped, rebooted, paused, suspended, and back."""

from novaflow import guards
from novaflow.messages import (
    PAUSE_INSTANCE,
    REBOOT_INSTANCE,
    RESUME_INSTANCE,
    START_INSTANCE,
    STOP_INSTANCE,
    SUSPEND_INSTANCE,
    UNPAUSE_INSTANCE,
    RebootOrder,
    ServerOrder,
)
from novaflow.models import Context
from novaflow.operations.server_orders import ServerOrders, host_of
from novaflow.states import Event
from novaflow.tasks import TaskParams
from rpc.procedure import Cast


class ServerPower:
    """All raise NotFound, Locked, WrongState, NeverActive, and Conflict for a server on no host."""

    def __init__(self, orders: ServerOrders) -> None:
        self._orders = orders

    async def start(self, context: Context, server_id: str) -> None:
        """Power a stopped server on."""
        await self._switch(context, server_id, Event.START_ORDERED, START_INSTANCE)

    async def stop(self, context: Context, server_id: str) -> None:
        """Power a server off."""
        await self._switch(context, server_id, Event.STOP_ORDERED, STOP_INSTANCE)

    async def reboot(self, context: Context, server_id: str, *, hard: bool) -> None:
        """Restart a server by asking its guest, or by cutting its power."""
        server = await self._orders.get(context, server_id)
        event = Event.HARD_REBOOT_ORDERED if hard else Event.REBOOT_ORDERED
        ordered = await self._orders.accept(context, server, event, params=TaskParams(hard=hard))
        order = RebootOrder(context=context, server_id=ordered.id, task_id=ordered.task_id or "", hard=hard)
        await self._orders.send(REBOOT_INSTANCE.at(host_of(ordered)), order)

    async def pause(self, context: Context, server_id: str) -> None:
        """Stop a server's processors; its memory stays where it is."""
        await self._orders.act(context, server_id, Event.PAUSE_ORDERED, PAUSE_INSTANCE)

    async def unpause(self, context: Context, server_id: str) -> None:
        """Let a paused server go on."""
        await self._orders.act(context, server_id, Event.UNPAUSE_ORDERED, UNPAUSE_INSTANCE)

    async def suspend(self, context: Context, server_id: str) -> None:
        """Save a server's memory to its host's disk and switch it off."""
        await self._orders.act(context, server_id, Event.SUSPEND_ORDERED, SUSPEND_INSTANCE)

    async def resume(self, context: Context, server_id: str) -> None:
        """Let a suspended server go on."""
        await self._orders.act(context, server_id, Event.RESUME_ORDERED, RESUME_INSTANCE)

    async def _switch(self, context: Context, server_id: str, event: Event, procedure: Cast[ServerOrder]) -> None:
        """Of these two Nova asks whether there is a host before it asks for the state."""
        server = await self._orders.get(context, server_id)
        guards.refuse_locked(context, server)
        host_of(server)
        await self._orders.act(context, server_id, event, procedure)
