"""What administrators mend by hand. Source: nova/api/openstack/compute/admin_actions.py."""

from typing import Final

from novaflow.models import Context
from novaflow.operations.rights import admin_only
from novaflow.operations.server_orders import ServerOrders
from novaflow.states import Event

_RULE: Final = "os_compute_api:os-admin-actions:{}"


class ServerRepairs:
    """All raise Forbidden and NotFound."""

    def __init__(self, orders: ServerOrders) -> None:
        self._orders = orders

    async def reset_state(self, context: Context, server_id: str, *, is_active: bool) -> None:
        """Say that a server is active, or in error, whatever was going on with it."""
        admin_only(context, _RULE.format("reset_state"))
        server = await self._orders.get(context, server_id)
        event = Event.RESET_TO_ACTIVE if is_active else Event.RESET_TO_ERROR
        await self._orders.servers.reset(context, server, event)

    async def mend_network(self, context: Context, server_id: str, rule: str) -> None:
        """Nothing: as with Neutron, a server's addresses are where they are looked up, and no copy of them can be stale."""
        admin_only(context, _RULE.format(rule))
        await self._orders.get(context, server_id)
