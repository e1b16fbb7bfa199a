"""Moves of servers that are off for a while: to another flavor (resize), to another host (cold migration); confirmed or taken back.

Texts are Nova's (nova/compute/api.py, resize; nova/exception.py).
"""

from typing import Final

from novaflow.db import accompaniments
from novaflow.db.moving import MIGRATION, RESIZE
from novaflow.errors import Invalid
from novaflow.messages import CONFIRM_RESIZE, REVERT_RESIZE
from novaflow.models import Context, Flavor, Server
from novaflow.operations.flavors import FlavorOperations
from novaflow.operations.rights import admin_only
from novaflow.operations.server_orders import ServerOrders, host_of, order_of
from novaflow.states import Event

MIGRATE: Final = "migrate"


class ServerResizes:
    """All raise NotFound, Locked, WrongState, NeverActive, and Conflict for a server on no host."""

    def __init__(self, orders: ServerOrders, flavors: FlavorOperations) -> None:
        self._orders = orders
        self._flavors = flavors

    async def resize(self, context: Context, server_id: str, flavor_id: str, *, disk_config: str | None = None) -> None:
        """Give a server another flavor. Raises Invalid for one that it cannot have, QuotaExceeded."""
        server = await self._orders.get(context, server_id)
        self._orders.check(context, server, Event.RESIZE_ORDERED)
        flavor = await self._flavors.wanted(context, flavor_id)
        check_resize(server, flavor)
        changes = {} if disk_config is None else {"disk_config": disk_config}
        accompany = accompaniments.of_move(RESIZE, self._orders.config.quota, new=flavor)
        ordered = await self._orders.accept(context, server, Event.RESIZE_ORDERED, changes=changes, accompany=accompany)
        await self._orders.send_to_scheduler(context, ordered)

    async def migrate(self, context: Context, server_id: str) -> None:
        """Take a server to another host. Raises Forbidden."""
        admin_only(context, "os_compute_api:os-migrate-server:migrate")
        server = await self._orders.get(context, server_id)
        accompany = accompaniments.of_move(MIGRATION, self._orders.config.quota)
        ordered = await self._orders.accept(context, server, Event.RESIZE_ORDERED, action=MIGRATE, accompany=accompany)
        await self._orders.send_to_scheduler(context, ordered)

    async def confirm(self, context: Context, server_id: str) -> None:
        """Keep what a resize or a migration has made of a server. Raises Invalid when there was none."""
        ordered = await self._settle(context, server_id, Event.CONFIRM_ORDERED)
        move = await self._orders.servers.migration(server_id)
        source = move.source_host if move else host_of(ordered)
        await self._orders.send(CONFIRM_RESIZE.at(source), order_of(context, ordered))

    async def revert(self, context: Context, server_id: str) -> None:
        """Have a server again as it was before a resize or a migration. Raises Invalid when there was none."""
        ordered = await self._settle(context, server_id, Event.REVERT_ORDERED)
        await self._orders.send(REVERT_RESIZE.at(host_of(ordered)), order_of(context, ordered))

    async def _settle(self, context: Context, server_id: str, event: Event) -> Server:
        server = await self._orders.get(context, server_id)
        return await self._orders.accept(context, server, event, accompany=accompaniments.of_settled_resize())


def check_resize(server: Server, new: Flavor) -> None:
    """Whether a server can have this flavor instead of its own; raises Invalid. A disk never shrinks."""
    old = server.flavor
    if new.disk_gb == 0 and old.disk_gb != 0:
        raise _no_disk("Resize to zero disk flavor is not allowed.")
    if new.is_disabled:
        raise Invalid(reason=f"Flavor {new.id} could not be found.")
    if new.id == old.id:
        raise Invalid(reason="When resizing, instances must change flavor!")
    if new.disk_gb < old.disk_gb or new.ephemeral_gb < old.ephemeral_gb:
        raise _no_disk("Unable to resize disk down.")


def _no_disk(reason: str) -> Invalid:
    return Invalid(reason=f"Server disk was unable to be resized because: {reason}")
