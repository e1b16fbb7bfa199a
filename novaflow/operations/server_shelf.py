"""Servers on the shelf: off their hosts to make room, and back on a host. How they get there: novaflow.operations.server_images."""

from novaflow.db import accompaniments
from novaflow.guards import check
from novaflow.messages import MOVE_SERVER, SHELVE_OFFLOAD_INSTANCE, UNSHELVE_INSTANCE
from novaflow.models import Context
from novaflow.operations.rights import admin_only
from novaflow.operations.server_orders import ServerOrders
from novaflow.states import ACTIONS, Event


class ServerShelf:
    """All raise NotFound, Locked, WrongState and NeverActive."""

    def __init__(self, orders: ServerOrders) -> None:
        self._orders = orders

    async def offload(self, context: Context, server_id: str) -> None:
        """Remove a shelved server's guest from its host. Raises Forbidden."""
        admin_only(context, "os_compute_api:os-shelve:shelve_offload")
        await self._orders.act(context, server_id, Event.OFFLOAD_ORDERED, SHELVE_OFFLOAD_INSTANCE)

    async def unshelve(self, context: Context, server_id: str) -> None:
        """Start a shelved server again: on its host, or on one that the scheduler finds if it was offloaded."""
        server = await self._orders.get(context, server_id)
        event = Event.UNSHELVE_ORDERED
        check(context, server, ACTIONS[event].name, event)
        accompany = accompaniments.of_unshelving()
        ordered = await self._orders.servers.order(context, server, ACTIONS[event].name, event, accompany=accompany)
        message = await self._orders.move_of(context, ordered)
        await self._orders.send(MOVE_SERVER if ordered.host is None else UNSHELVE_INSTANCE.at(ordered.host), message)
