"""Starting guests from images, a few at a time: what a build, a rebuild and an unshelving have in common."""

import asyncio

from novaflow.errors import GuestFailed
from novaflow.models import Address, BuildPlan
from novaflow.states import Power
from services.compute.carrying_out import DOWN
from services.compute.guest_specs import guest_spec
from services.compute.host import ComputeHost
from services.compute.images import BootFiles, BootImages
from services.compute.slots import Slot


class Spawns:
    """Starts the guests of one host, `compute.spawns_at_once` at the same time."""

    def __init__(self, host: ComputeHost, images: BootImages) -> None:
        self._host = host
        self._images = images
        self._turns = asyncio.Semaphore(host.config.compute.spawns_at_once)

    async def spawn(
        self,
        plan: BuildPlan,
        files: BootFiles,
        slot: Slot,
        *,
        addresses: tuple[Address, ...] | None = None,
        admin_password: str = "",
    ) -> Power:
        """Make the server's guest of these files, in place of whatever guest it has; the guest's power, which is not off.

        Raises TaskSuperseded when the server is taken over before it begins, and GuestFailed.
        """
        server_id = plan.server.id
        guest = guest_spec(self._host, plan, files, addresses=addresses, admin_password=admin_password)
        await slot.unless_taken_over(self._turns.acquire())
        try:
            self._images.note_use(self._host.name, server_id, files)
            attributes = {"server_id": server_id, "host": self._host.name}
            with self._host.tracer.span("libvirt", "define and start domain", attributes=attributes):
                await self._host.driver.spawn(guest)
        finally:
            self._turns.release()
        power = await self._host.driver.power(server_id)
        if power in DOWN:
            reason = f"the guest was {power.name} right after its start"
            raise GuestFailed(operation="spawn", server_id=server_id, reason=reason)
        self._host.told[server_id] = power
        return power
