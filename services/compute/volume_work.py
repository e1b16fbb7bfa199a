"""How a host carries out orders for volumes and their snapshots.

An order waits its turn at the server it concerns, asks whether it still stands, is done, and is reported. The driver's operations may be
repeated, so an order that comes again is simply done again. One that hears that the volume has moved on leaves it to the audit,
which makes it what it is now.
"""

import logging
from collections.abc import Awaitable, Callable

from novaflow.errors import NovaflowError, TaskSuperseded
from novaflow.messages import VolumeOrder
from novaflow.volumes import Volume, VolumeSnapshot
from rpc.errors import BusError
from services.compute.faults import fault_of
from services.compute.host import ComputeHost
from services.compute.slots import Slot
from services.compute.volume_audit import VolumeAudit

log = logging.getLogger(__name__)


class VolumeWork:
    """Answers to the orders for one host's volumes."""

    def __init__(self, host: ComputeHost) -> None:
        self._host = host
        self._driver = host.driver
        self._audit = VolumeAudit(host)

    async def create_volume(self, ask: VolumeOrder) -> None:
        """One that is made of a snapshot, which is on this host."""

        async def create(volume: Volume, _: Slot) -> str:
            await self._make(volume)
            return ""

        await self._carry_out(ask, create)

    async def delete_volume(self, ask: VolumeOrder) -> None:
        """Its file goes. By the records it is nobody's: a guest that is noted as having it is gone, or about to."""

        async def delete(volume: Volume, _: Slot) -> str:
            noted = [one for one in await self._driver.volumes() if one.volume_id == volume.id and one.server_id]
            for one in noted:
                timeout = self._host.config.compute.detach_timeout
                await self._driver.detach_volume(one.server_id, volume.id, timeout)
            await self._driver.remove_volume(volume.id)
            return ""

        await self._carry_out(ask, delete)

    async def attach_volume(self, ask: VolumeOrder) -> None:
        """One that is on no host yet is made for its first server."""

        async def attach(volume: Volume, slot: Slot) -> str:
            await self._make(volume)
            server_id = volume.server_id or ""
            return await slot.unless_taken_over(self._driver.attach_volume(server_id, volume.id, volume.device))

        await self._carry_out(ask, attach)

    async def detach_volume(self, ask: VolumeOrder) -> None:
        """The guest is given some time to let go."""

        async def detach(volume: Volume, slot: Slot) -> str:
            timeout = self._host.config.compute.detach_timeout
            await slot.unless_taken_over(self._driver.detach_volume(volume.server_id or "", volume.id, timeout))
            return ""

        await self._carry_out(ask, detach)

    async def create_snapshot(self, ask: VolumeOrder) -> None:
        """Copied while whoever has the volume goes on."""

        async def create(snapshot: VolumeSnapshot) -> None:
            await self._driver.snapshot_volume(snapshot.volume_id, snapshot.id)

        await self._carry_out_snapshot(ask, create)

    async def delete_snapshot(self, ask: VolumeOrder) -> None:
        """Its file goes."""

        async def delete(snapshot: VolumeSnapshot) -> None:
            await self._driver.remove_volume_snapshot(snapshot.id)

        await self._carry_out_snapshot(ask, delete)

    async def _make(self, volume: Volume) -> None:
        await self._driver.make_volume(volume.id, volume.size_gb, volume.snapshot_id or "")

    async def _carry_out(self, ask: VolumeOrder, work: Callable[[Volume, Slot], Awaitable[str]]) -> None:
        try:
            async with self._host.slots.hold(ask.server_id or ask.id, ask.order_id) as slot:
                volume = await self._host.records.volume(ask)
                device, fault = "", None
                try:
                    with self._host.tracer.span("libvirt", f"volume {volume.status}", attributes={"volume_id": ask.id}):
                        device = await work(volume, slot)
                except (TaskSuperseded, BusError):
                    raise
                except Exception as error:
                    fault = _said(ask, error)
                await self._host.records.volume_ended(ask, device=device, fault=fault)
        except TaskSuperseded:
            log.info("volume %s has nothing more to do with order %s", ask.id, ask.order_id)
            await self._audit.put_right(ask.id)

    async def _carry_out_snapshot(self, ask: VolumeOrder, work: Callable[[VolumeSnapshot], Awaitable[None]]) -> None:
        try:
            async with self._host.slots.hold(ask.id, ask.order_id):
                snapshot = await self._host.records.volume_snapshot(ask)
                fault = None
                try:
                    await work(snapshot)
                except BusError:
                    raise
                except Exception as error:
                    fault = _said(ask, error)
                await self._host.records.volume_ended(ask, of_snapshot=True, fault=fault)
        except TaskSuperseded:
            log.info("snapshot %s has nothing more to do with order %s", ask.id, ask.order_id)


def _said(ask: VolumeOrder, error: Exception) -> str:
    if not isinstance(error, NovaflowError):
        log.exception("order %s for volume %s failed unexpectedly", ask.order_id, ask.id)
    return fault_of(error).message
