"""Floating addresses: kept by a project, given to its servers and shown with them. Source: nova/network/floating_ips.py (Icehouse).

Nothing is routed by them: a guest is on QEMU's user network, which lets nothing in. Who asks is told so (NOT_ROUTED).
"""

import builtins
from collections.abc import Awaitable, Sequence
from typing import Final

from novaflow.db.floating_addresses import NOT_ASSOCIATED, FloatingAddresses
from novaflow.db.servers import Servers
from novaflow.errors import Conflict, LimitExceeded, Missing, NotFound, QuotaExceeded
from novaflow.models import Context, FloatingAddress
from novaflow.operations.servers import visible_project
from novaflow.quotas import QuotaLimits

NOT_ROUTED: Final = (
    "Kept and shown only: no traffic reaches a guest at this address, for guests are on QEMU's user network."
)
OVER_QUOTA: Final = "IP allocation over quota."


class FloatingAddressOperations:
    """What members of a project do with its addresses. Those of others, and unknown ones, are Missing."""

    def __init__(self, addresses: FloatingAddresses, servers: Servers, defaults: QuotaLimits, pool: str) -> None:
        self._addresses = addresses
        self._servers = servers
        self._defaults = defaults
        self.pool = pool

    async def list(self, context: Context) -> Sequence[FloatingAddress]:
        """The project's addresses."""
        return await self._addresses.list(context.project_id)

    async def get(self, context: Context, address_id: int) -> FloatingAddress:
        """One address."""
        return await _own(context, self._addresses.get(address_id), f"Floating IP not found for ID {address_id}")

    async def at(self, context: Context, ip: str) -> FloatingAddress:
        """The address that is written so."""
        return await _own(context, self._addresses.at(ip), f"Floating IP not found for address {ip}.")

    async def of_servers(self, server_ids: Sequence[str]) -> dict[str, builtins.list[FloatingAddress]]:
        """What servers that the caller has seen already have, by server."""
        return await self._addresses.of_servers(server_ids)

    async def allocate(self, context: Context, pool: str | None = None) -> FloatingAddress:
        """One address more for the project. Raises LimitExceeded, Missing when the pool is not there or empty."""
        if pool not in (None, self.pool):
            raise Missing(reason="Floating IP pool not found.")
        try:
            return await self._addresses.allocate(context.project_id, self._defaults)
        except QuotaExceeded:
            raise LimitExceeded(reason=OVER_QUOTA) from None

    async def release(self, context: Context, address_id: int) -> None:
        """Give an address back; a server that had it has it no more."""
        found = await self.get(context, address_id)
        await self._addresses.release(found.id)

    async def associate(self, context: Context, server_id: str, ip: str, fixed_ip: str | None = None) -> None:
        """Give an address to a server, whoever had it before. Raises NotFound for the server, Invalid when it has no address."""
        await self._servers.get(server_id, project_id=visible_project(context))
        found = await self.at(context, ip)
        try:
            await self._addresses.associate(found.ip, server_id, fixed_ip)
        except NotFound as error:
            raise (error if error.key == server_id else Missing(reason="floating IP not found")) from None

    async def disassociate(self, context: Context, server_id: str | None, ip: str) -> None:
        """Take an address from a server, or from whichever has it. Raises NotFound for the server, Conflict when it has not got it."""
        found = await self.at(context, ip)
        if server_id is not None:
            await self._servers.get(server_id, project_id=visible_project(context))
        holder = found.server_id if server_id is None else server_id
        if holder is None:
            raise Conflict(reason=NOT_ASSOCIATED.format(ip, server_id))
        await self._addresses.disassociate(ip, holder)


async def _own(context: Context, finding: Awaitable[FloatingAddress], missing: str) -> FloatingAddress:
    """What is found, if the caller may see it."""
    try:
        found = await finding
    except NotFound:
        raise Missing(reason=missing) from None
    if not context.is_admin and found.project_id != context.project_id:
        raise Missing(reason=missing)
    return found
