"""The compute hosts' hand in the records of volumes: what an order is about, how it ended, what a host should have.

An order that was lost, or whose host is away, is found again here: after `conductor.task_lease` seconds without a sign that its host works on
it (a heartbeat that names it) it is sent once more, and after
`conductor.task_attempts` times it is given up. What a host does about an order that was given up meanwhile, its own audit puts right
(services.compute.volume_audit).
"""

import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final, TypeVar

import msgspec

from novaflow.clock import Clock
from novaflow.config import Conductor
from novaflow.db.storage import Storage
from novaflow.db.volumes import Volumes, VolumeSnapshots
from novaflow.errors import NovaflowError, TaskSuperseded
from novaflow.messages import (
    ATTACH_VOLUME,
    CREATE_VOLUME,
    CREATE_VOLUME_SNAPSHOT,
    DELETE_VOLUME,
    DELETE_VOLUME_SNAPSHOT,
    DETACH_VOLUME,
    GET_VOLUME,
    GET_VOLUME_SNAPSHOT,
    LIST_HOST_VOLUMES,
    REPORT_VOLUME,
    REPORT_VOLUME_SNAPSHOT,
    HostVolumes,
    HostVolumesAsk,
    Nothing,
    VolumeOrder,
    VolumeReport,
    VolumeStep,
)
from novaflow.models import ADMIN_ROLE, Context
from novaflow.volumes import Status, Volume, VolumeSnapshot
from rpc.bus import Bus
from rpc.errors import BusError
from rpc.procedure import Cast

T = TypeVar("T", Volume, VolumeSnapshot)
BATCH: Final = 200  # orders taken up in one look
OF_VOLUMES: Final[Mapping[Status, Cast[VolumeOrder]]] = {
    Status.CREATING: CREATE_VOLUME,
    Status.ATTACHING: ATTACH_VOLUME,
    Status.DETACHING: DETACH_VOLUME,
    Status.DELETING: DELETE_VOLUME,
}
OF_SNAPSHOTS: Final[Mapping[Status, Cast[VolumeOrder]]] = {
    Status.CREATING: CREATE_VOLUME_SNAPSHOT,
    Status.DELETING: DELETE_VOLUME_SNAPSHOT,
}
log = logging.getLogger(__name__)


class VolumeDesk:
    """Answers to the compute hosts, and looks for orders that did not end."""

    def __init__(self, bus: Bus, volumes: Volumes, snapshots: VolumeSnapshots, config: Conductor, clock: Clock) -> None:
        self._bus = bus
        self._volumes = volumes
        self._snapshots = snapshots
        self._config = config
        self._clock = clock

    async def get_volume(self, ask: VolumeStep) -> Volume:
        """The volume, if this order is still to be carried out on this host; else TaskSuperseded. What it is made of is on the host."""
        volume = await self._volumes.ordered(ask.id, ask.order_id, ask.host)
        if volume.snapshot_id and await self._snapshots.is_blank(volume.snapshot_id):
            return msgspec.structs.replace(volume, snapshot_id=None)
        return volume

    async def get_snapshot(self, ask: VolumeStep) -> VolumeSnapshot:
        """The same of a snapshot."""
        return await self._snapshots.ordered(ask.id, ask.order_id, ask.host)

    async def report_volume(self, ask: VolumeReport) -> Nothing:
        """How an order ended; TaskSuperseded when the volume has moved on without it."""
        await self._volumes.report(ask.id, ask.order_id, self._clock.now(), fault=ask.fault, device=ask.device)
        return Nothing()

    async def report_snapshot(self, ask: VolumeReport) -> Nothing:
        """The same of a snapshot."""
        await self._snapshots.report(ask.id, ask.order_id, self._clock.now(), fault=ask.fault)
        return Nothing()

    async def list_host_volumes(self, ask: HostVolumesAsk) -> HostVolumes:
        """What should be on the host."""
        return HostVolumes(
            volumes=tuple(await self._volumes.on_host(ask.host, ask.volume_ids)),
            snapshots=tuple(await self._snapshots.on_host(ask.host, ask.snapshot_ids)),
            ready_servers=tuple(await self._volumes.ready_servers(ask.host)),
        )

    async def renew(self, order_ids: Sequence[str]) -> None:
        """A sign of life of these orders: somebody works on them."""
        for things in (self._volumes, self._snapshots):
            await things.renew(order_ids, self._clock.now())

    def serve(self, bus: Bus) -> None:
        """Everything about volumes that the conductor answers to."""
        bus.on_call(GET_VOLUME, self.get_volume)
        bus.on_call(GET_VOLUME_SNAPSHOT, self.get_snapshot)
        bus.on_call(REPORT_VOLUME, self.report_volume)
        bus.on_call(REPORT_VOLUME_SNAPSHOT, self.report_snapshot)
        bus.on_call(LIST_HOST_VOLUMES, self.list_host_volumes)

    async def run(self, interval: float) -> None:
        """Look every `interval` seconds, until cancelled. An outage is waited out."""
        while True:
            await self._clock.sleep(interval)
            await self._surviving(self.look)

    async def look(self) -> None:
        """Send every order again that has not ended within its lease, or give it up."""
        await self._look(self._volumes, OF_VOLUMES)
        await self._look(self._snapshots, OF_SNAPSHOTS)

    async def _look(self, things: Storage[T], procedures: Mapping[Status, Cast[VolumeOrder]]) -> None:
        now = self._clock.now()
        for stale in await things.stale(now - timedelta(seconds=self._config.task_lease), BATCH):
            if not await things.retake(stale, now):
                continue
            thing = stale.thing
            if stale.orders >= self._config.task_attempts:
                log.error("%s %s: %s was ordered %d times in vain", things.kind, thing.id, thing.status, stale.orders)
                fault = f"Host {thing.host} has not done it after {stale.orders} orders."
                with suppress(TaskSuperseded):  # it has just ended
                    await things.report(thing.id, thing.order_id, now, fault=fault)
            else:
                await self._send(procedures[thing.status], thing)

    async def _send(self, procedure: Cast[VolumeOrder], thing: Volume | VolumeSnapshot) -> None:
        try:
            await self._bus.cast(procedure.at(thing.host or ""), VolumeOrder.of(_internal(thing), thing))
        except BusError as error:
            log.warning("%s of %s is sent again later: %s", procedure.name, thing.id, error)

    async def _surviving(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except (NovaflowError, BusError) as error:
            log.warning("orders for volumes are looked for again later: %s", error)
        except Exception:
            log.exception("orders for volumes could not be looked for")


def _internal(thing: Volume | VolumeSnapshot) -> Context:
    """The cloud's own wish: an administrator in the project, without a user."""
    return Context(request_id=f"req-{uuid.uuid4()}", user_id="", project_id=thing.project_id, roles=(ADMIN_ROLE,))
