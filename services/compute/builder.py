"""The build of one server on this host, step by step as Nova does it.

What stays true, wherever the process dies and however often the order comes:

- A build that is taken up again starts over: the conductor gives the plan again, the addresses are the same ones, and the
  driver replaces a guest that an earlier try left.
- An order that the conductor refuses at the first step changes nothing here. The guest that may be there is either
  the finished server's or not this host's; in the second case the audit removes it.
- A build that was started too often without an end, as one that makes its worker die, is given up: its guest is removed.
- A build that is refused later, because the server was deleted or given to another host, removes its guest and stops.
- A failure is reported after the host is clean, so a retry elsewhere never makes a second guest.
- When the conductor stays away nobody knows what was recorded: the guest stays, the handler fails, and the order comes again.
"""

import logging

from novaflow.errors import BuildGivenUp, NotFound, NovaflowError, TaskSuperseded
from novaflow.messages import BuildInstance
from novaflow.models import Address, BuildPlan
from novaflow.states import Event
from rpc.errors import BusError
from services.compute.faults import fault_of, is_hosts_fault
from services.compute.host import ComputeHost
from services.compute.images import BootImages
from services.compute.slots import Slot
from services.compute.spawns import Spawns

log = logging.getLogger(__name__)


class Builder:
    """Answers to `build_and_run_instance`."""

    def __init__(self, host: ComputeHost, images: BootImages, spawns: Spawns) -> None:
        self._host = host
        self._images = images
        self._spawns = spawns

    async def build_and_run_instance(self, ask: BuildInstance) -> None:
        """Take the build up, unless it is done or somebody else's by now, and see it through."""
        async with self._host.slots.hold(ask.server_id, ask.task_id) as slot:
            try:
                plan = await self._host.records.start_build(ask)
            except (TaskSuperseded, NotFound):
                log.info("server %s: task %s builds nothing here any more", ask.server_id, ask.task_id)
                return
            except BuildGivenUp as error:
                log.warning("%s", error)
                await self._clean_up(ask.server_id)
                return
            try:
                await self._build(ask, plan, slot)
            except TaskSuperseded:
                log.info("server %s was taken over while it was built", ask.server_id)
                await self._clean_up(ask.server_id)
            except BusError:
                raise
            except Exception as error:
                if not isinstance(error, NovaflowError):
                    log.exception("server %s: the build failed unexpectedly", ask.server_id)
                await self._fail(ask, error)

    async def _build(self, ask: BuildInstance, plan: BuildPlan, slot: Slot) -> None:
        records = self._host.records
        images = await slot.unless_taken_over(self._images.find(plan.server, ask.context.token))
        addresses = await self._begin_spawn(ask)
        files = await slot.unless_taken_over(self._images.fetch(images))
        power = await self._spawns.spawn(plan, files, slot, addresses=addresses, admin_password=ask.admin_password)
        await records.progress(ask, Event.SPAWNED, power)

    async def _begin_spawn(self, ask: BuildInstance) -> tuple[Address, ...]:
        """Walk from the accepted build to spawning; the server's addresses, none where no network was asked for.

        No build has a volume to wait for, so steps that follow at once are one report, and one transaction.
        """
        records = self._host.records
        if not ask.spec.wants_network:
            await records.progress(ask, Event.NETWORK_WANTED, then=(Event.DEVICES_WANTED, Event.SPAWN_STARTED))
            return ()
        addresses = await records.allocate_network(ask)
        await records.progress(ask, Event.DEVICES_WANTED, then=(Event.SPAWN_STARTED,))
        return addresses

    async def _fail(self, ask: BuildInstance, error: Exception) -> None:
        await self._clean_up(ask.server_id)
        try:
            await self._host.records.build_failed(ask, fault_of(error), may_retry=is_hosts_fault(error))
        except TaskSuperseded:
            log.info("server %s was taken over while its build failed", ask.server_id)

    async def _clean_up(self, server_id: str) -> None:
        """Leave nothing of the build. What cannot be removed now is a stray guest: the audit tries again."""
        self._host.told.pop(server_id, None)
        try:
            await self._host.driver.destroy(server_id)
        except Exception:
            log.exception("server %s: its guest could not be removed", server_id)
