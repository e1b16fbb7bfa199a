"""A server's end, and what comes back from it: deleted for good, deleted for a while, restored."""

from typing import Final

from novaflow import guards
from novaflow.db import accompaniments
from novaflow.errors import Conflict, NeverActive, WrongState
from novaflow.messages import (
    REMOVE_LEFTOVERS,
    RESTORE_INSTANCE,
    SOFT_DELETE_INSTANCE,
    TERMINATE_INSTANCE,
    GuestAsk,
)
from novaflow.models import Context, Server
from novaflow.operations.server_images import ServerImages
from novaflow.operations.server_orders import ServerOrders, host_of, order_of
from novaflow.states import Event, Task, Vm

_ON_THE_SHELF: Final = (Vm.SHELVED, Vm.SHELVED_OFFLOADED)


class ServerEnds:
    """All raise NotFound and Locked."""

    def __init__(self, orders: ServerOrders, images: ServerImages) -> None:
        self._orders = orders
        self._images = images

    async def delete(self, context: Context, server_id: str) -> None:
        """Delete a server, whatever it is doing. One that is on no host, or on a host that is down, is gone when this returns.

        Where deleted servers are kept for a while (compute.reclaim_instance_interval) it is kept, if its state allows that.
        """
        if self._orders.config.compute.reclaim_instance_interval <= 0 or not await self._put_away(context, server_id):
            await self.force_delete(context, server_id, action="delete")

    async def force_delete(self, context: Context, server_id: str, *, action: str = "forceDelete") -> None:
        """Delete a server for good, from any state. The image that it waits as on the shelf goes with it."""
        server = await self._orders.get(context, server_id)
        guards.refuse_locked(context, server)
        waits_as = await self._orders.servers.shelf_image(server.id) if server.vm in _ON_THE_SHELF else ""
        await self._delete(context, server, action)
        if waits_as:
            await self._images.forget(waits_as, context.token)

    async def restore(self, context: Context, server_id: str) -> None:
        """Bring a server back that was deleted for a while. Raises WrongState, QuotaExceeded."""
        server = await self._orders.get(context, server_id)
        accompany = accompaniments.of_restore(self._orders.config.quota)
        ordered = await self._orders.accept(context, server, Event.RESTORE_ORDERED, accompany=accompany)
        await self._orders.send(RESTORE_INSTANCE.at(host_of(ordered)), order_of(context, ordered))

    async def _delete(self, context: Context, server: Server, action: str) -> None:
        if server.host is None:
            if await self._orders.servers.delete_unplaced(context, server):
                return
            server = await self._orders.get(context, server.id)  # it has got a host in the meantime
        if not await self._orders.is_up(server.host):
            leftovers = await self._other_hosts(server)
            await self._orders.servers.delete_locally(context, server)
            await self._clear(server, leftovers)
        elif server.task is not Task.DELETING:
            await self._terminate(context, server, action)

    async def _put_away(self, context: Context, server_id: str) -> bool:
        """Switch a server off and keep it; False for one that has nothing worth keeping, or is in no state to be kept.

        One that is kept already is not deleted by who asks twice.
        """
        server = await self._orders.get(context, server_id)
        if server.vm is Vm.SOFT_DELETED or server.task is Task.SOFT_DELETING:
            guards.refuse_locked(context, server)
            return True
        try:
            await self._orders.act(context, server_id, Event.SOFT_DELETE_ORDERED, SOFT_DELETE_INSTANCE)
        except (WrongState, NeverActive, Conflict):
            return False
        return True

    async def _terminate(self, context: Context, server: Server, action: str) -> None:
        """The table lets a delete take over from anything; a host that the server left meanwhile has nothing to terminate."""
        ordered = await self._orders.servers.order(context, server, action, Event.DELETE_ORDERED)
        if ordered.host is None:
            await self._orders.servers.delete_unplaced(context, ordered)  # its build has just left the host
            return
        leftovers = await self._other_hosts(ordered)
        await self._orders.send(TERMINATE_INSTANCE.at(ordered.host), order_of(context, ordered))
        await self._clear(ordered, leftovers)

    async def _other_hosts(self, server: Server) -> set[str]:
        """Where else something of a server may be, if it is on its way; audits find what is missed here."""
        move = await self._orders.servers.migration(server.id)
        hosts = {move.source_host, move.dest_host, move.claim_host} if move else set()
        return {host for host in hosts if host is not None and host != server.host}

    async def _clear(self, server: Server, hosts: set[str]) -> None:
        for host in sorted(hosts):
            await self._orders.send(REMOVE_LEFTOVERS.at(host), GuestAsk(server_id=server.id))
