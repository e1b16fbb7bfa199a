"""The build of one server on this host, step by step as Nova does it.

What stays true, wherever the process dies and however often the order comes:

- A build that is taken up again starts over: the conductor gives the plan again, the addresses are the same ones, and the
  driver replaces a guest that an earlier try left.
- An order that the conductor refuses at the first step changes nothing here. The guest that may be there is either
  the finished server's or not this host's; in the second case the audit removes it.
- A build that was started too often without an end, as one that makes its worker die, is given up: its guest is removed.
- A build that is refused later, because the server was deleted or given to another host, removes its guest and stops.
- Volumes that a server is made with are files before its guest is, and the server's when it is active: a build that ends otherwise removes them
  from a host that did not have them before.
- A failure is reported after the host is clean, so a retry elsewhere never makes a second guest.
- When the conductor stays away nobody knows what was recorded: the guest stays, the handler fails, and the order comes again.
"""

import logging
from collections.abc import Iterable

from novaflow.errors import BuildGivenUp, GuestFailed, NotFound, NovaflowError, TaskSuperseded
from novaflow.messages import BuildInstance
from novaflow.models import Address, BuildPlan, BuildVolume
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
                await self._clean_up(ask.server_id, plan.volumes)
            except BusError:
                raise
            except Exception as error:
                if not isinstance(error, NovaflowError):
                    log.exception("server %s: the build failed unexpectedly", ask.server_id)
                await self._fail(ask, plan, error)

    async def _build(self, ask: BuildInstance, plan: BuildPlan, slot: Slot) -> None:
        records = self._host.records
        images = await slot.unless_taken_over(self._images.find(plan.server, ask.context.token))
        addresses = await self._begin_spawn(ask, plan, slot)
        files = await slot.unless_taken_over(self._images.fetch(images))
        power = await self._spawns.spawn(plan, files, slot, addresses=addresses, admin_password=ask.admin_password)
        await records.progress(ask, Event.SPAWNED, power, takes_volumes=bool(plan.volumes))

    async def _begin_spawn(self, ask: BuildInstance, plan: BuildPlan, slot: Slot) -> tuple[Address, ...]:
        """Walk from the accepted build to spawning; the server's addresses, none where no network was asked for.

        Steps that follow at once are one report, and one transaction: that is all of them where there is no volume to wait for.
        """
        records = self._host.records
        later = () if plan.volumes else (Event.SPAWN_STARTED,)
        if ask.spec.wants_network:
            addresses = await records.allocate_network(ask)
            await records.progress(ask, Event.DEVICES_WANTED, then=later)
        else:
            addresses = ()
            await records.progress(ask, Event.NETWORK_WANTED, then=(Event.DEVICES_WANTED, *later))
        if plan.volumes:
            await self._make_volumes(plan, slot)
            await records.progress(ask, Event.SPAWN_STARTED)
        return addresses

    async def _make_volumes(self, plan: BuildPlan, slot: Slot) -> None:
        driver = self._host.driver
        for volume in plan.volumes:
            try:
                await slot.unless_taken_over(driver.make_volume(volume.id, volume.size_gb, volume.snapshot_id))
            except GuestFailed as error:
                raise GuestFailed(
                    operation="block device mapping", server_id=plan.server.id, reason=str(error)
                ) from error

    async def _fail(self, ask: BuildInstance, plan: BuildPlan, error: Exception) -> None:
        await self._clean_up(ask.server_id, plan.volumes)
        try:
            await self._host.records.build_failed(ask, fault_of(error), may_retry=is_hosts_fault(error))
        except TaskSuperseded:
            log.info("server %s was taken over while its build failed", ask.server_id)

    async def _clean_up(self, server_id: str, volumes: Iterable[BuildVolume] = ()) -> None:
        """Leave nothing of the build, nor of volumes that were on no host before. The audits try again to remove what cannot be now."""
        self._host.told.pop(server_id, None)
        try:
            await self._host.driver.destroy(server_id)
            for volume in volumes:
                if volume.host is None:
                    await self._host.driver.remove_volume(volume.id)
        except Exception:
            log.exception("server %s: its guest could not be removed", server_id)
