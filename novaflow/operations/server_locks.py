"""Locks on servers: against what their owners might do by mistake, or, set by an administrator, against what they may do at all.

Source: nova/compute/api.py, lock, unlock and is_expected_locked_by.
"""

from typing import Final

from novaflow.db.locking import ServerLocks as Locks
from novaflow.models import Context, Server
from novaflow.operations.rights import admin_only
from novaflow.operations.server_orders import ServerOrders

_OVERRIDE: Final = "os_compute_api:os-lock-server:unlock:unlock_override"


class ServerLocks:
    """Both raise NotFound."""

    def __init__(self, orders: ServerOrders, locks: Locks) -> None:
        self._orders = orders
        self._locks = locks

    async def lock(self, context: Context, server_id: str) -> None:
        """Only administrators may change the server from now on. Its owner does not take over an administrator's lock."""
        server = await self._orders.get(context, server_id)
        if not (server.is_locked and _owns(context, server)):
            await self._locks.set(context, server.id, is_locked=True)

    async def unlock(self, context: Context, server_id: str) -> None:
        """End that. Raises Forbidden when somebody else than the owner who asks has locked it."""
        server = await self._orders.get(context, server_id)
        locked_from = await self._locks.locked_from(server.id)
        if server.is_locked and (locked_from == server.project_id) != _owns(context, server):
            admin_only(context, _OVERRIDE)
        await self._locks.set(context, server.id, is_locked=False)


def _owns(context: Context, server: Server) -> bool:
    return context.project_id == server.project_id
