"""Volumes: made, listed, deleted; given to servers and taken from them.

Whatever needs a host is recorded first and ordered second; an order that is lost is sent again by the conductor. A volume is on no
host until its first server gets it: until then it is a row, and so is its snapshot.
"""

import logging
from collections.abc import Collection, Mapping, Sequence

from novaflow import guards
from novaflow.clock import Clock
from novaflow.config import Config
from novaflow.data_disks import device_name
from novaflow.db.ids import new_uuid
from novaflow.db.servers import Servers
from novaflow.db.volumes import Volumes, VolumeSnapshots
from novaflow.errors import Invalid, Missing
from novaflow.messages import ATTACH_VOLUME, CREATE_VOLUME, DELETE_VOLUME, DETACH_VOLUME, VolumeOrder
from novaflow.models import Context, Server
from novaflow.operations.servers import visible_project
from novaflow.volumes import ATTACHED, MOST_GB, Status, Volume, VolumeSnapshot
from rpc.bus import Bus
from rpc.errors import BusError
from rpc.procedure import Cast

log = logging.getLogger(__name__)


class VolumeOperations:
    """What can be done with volumes. Other projects' are NotFound."""

    def __init__(
        self, volumes: Volumes, snapshots: VolumeSnapshots, servers: Servers, bus: Bus, config: Config, clock: Clock
    ) -> None:
        self._volumes = volumes
        self._snapshots = snapshots
        self._servers = servers
        self._bus = bus
        self._config = config
        self._clock = clock

    async def create(
        self,
        context: Context,
        *,
        volume_id: str | None = None,
        size_gb: int | None = None,
        snapshot_id: str | None = None,
        name: str = "",
        description: str = "",
        availability_zone: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Volume:
        """An empty volume, or one with what a snapshot holds, which is as large unless a larger size is asked for.

        With a `volume_id` of the caller's, whoever makes it twice makes one, and is given it as it is by then, deleted or not.

        Raises Invalid, NotFound for the snapshot, QuotaExceeded.
        """
        source = await self._source(context, snapshot_id)
        size_gb = size_gb or (source.size_gb if source else 0)
        if not 1 <= size_gb <= MOST_GB or (source and size_gb < source.size_gb):
            least = source.size_gb if source else 1
            raise Invalid(reason=f"Invalid volume: size {size_gb} GB is not between {least} and {MOST_GB}")
        now = self._clock.now()
        made = Volume(
            id=volume_id or new_uuid(),
            project_id=context.project_id,
            user_id=context.user_id,
            name=name,
            description=description,
            metadata=dict(metadata or {}),
            size_gb=size_gb,
            availability_zone=availability_zone or self._config.compute.availability_zone,
            snapshot_id=source.id if source else None,
            host=source.host if source else None,
            status=Status.CREATING if source and source.host else Status.AVAILABLE,
            order_id=new_uuid(),
            created_at=now,
            updated_at=now,
        )
        recorded = await self._volumes.create(made, self._config.quota)
        if recorded.order_id != made.order_id:
            return recorded  # another request made it: what runs may be the order to delete it
        return await self._ordered(context, CREATE_VOLUME, recorded)

    async def list(self, context: Context, *, all_projects: bool = False) -> Sequence[Volume]:
        """The project's volumes, or everybody's for an administrator who asks for them, the oldest first."""
        return await self._volumes.all(None if all_projects and context.is_admin else context.project_id)

    async def get(self, context: Context, volume_id: str) -> Volume:
        """One volume."""
        return await self._volumes.get(volume_id, project_id=visible_project(context))

    async def delete(self, context: Context, volume_id: str) -> Volume:
        """Remove a volume that no server has. Raises Invalid."""
        now, project_id = self._clock.now(), visible_project(context)
        deleted = await self._volumes.delete(volume_id, new_uuid(), now, project_id=project_id)
        return await self._ordered(context, DELETE_VOLUME, deleted)

    async def attach(self, context: Context, server_id: str, volume_id: str, device: str | None = None) -> Volume:
        """Give a server a volume. Raises NotFound, Locked, WrongState, Conflict, Invalid."""
        wanted = device_name(device)
        await self._server(context, server_id)
        attaching = await self._volumes.attach(
            volume_id,
            server_id,
            new_uuid(),
            self._clock.now(),
            project_id=visible_project(context),
            device=wanted,
        )
        return await self._ordered(context, ATTACH_VOLUME, attaching)

    async def detach(self, context: Context, server_id: str, volume_id: str) -> Volume:
        """Take a volume from a server. Raises as `attach`; NotFound, too, when the server does not have it."""
        await self._server(context, server_id)
        project_id = visible_project(context)
        detaching = await self._volumes.detach(
            volume_id, server_id, new_uuid(), self._clock.now(), project_id=project_id
        )
        return await self._ordered(context, DETACH_VOLUME, detaching)

    async def end_with_server(self, context: Context, server_id: str, volume_id: str, *, ends: bool) -> None:
        """Say whether a volume is deleted with the server that has it. Raises NotFound, Locked."""
        await self._server(context, server_id)
        await self._volumes.end_with_server(volume_id, server_id, self._clock.now(), ends=ends)

    async def of_server(self, context: Context, server_id: str) -> Sequence[Volume]:
        """The volumes that a server has, and those on their way to it and from it."""
        server = await self._servers.get(server_id, project_id=visible_project(context))
        return [volume for volume in await self._volumes.all(server_id=server.id) if volume.status in ATTACHED]

    async def attachment(self, context: Context, server_id: str, volume_id: str) -> Volume:
        """One of them. Raises NotFound for the server, Missing for the volume."""
        for volume in await self.of_server(context, server_id):
            if volume.id == volume_id:
                return volume
        raise Missing(reason=f"Instance {server_id} is not attached to volume {volume_id}")

    async def of_servers(self, server_ids: Collection[str]) -> Mapping[str, Sequence[Volume]]:
        """The volumes of each of these servers, which the caller sees."""
        return await self._volumes.of_servers(server_ids) if server_ids else {}

    async def _server(self, context: Context, server_id: str) -> Server:
        server = await self._servers.get(server_id, project_id=visible_project(context))
        guards.refuse_locked(context, server)
        return server

    async def _source(self, context: Context, snapshot_id: str | None) -> VolumeSnapshot | None:
        if snapshot_id is None:
            return None
        found = await self._snapshots.get(snapshot_id, project_id=visible_project(context))
        if found.status is not Status.AVAILABLE:
            raise Invalid(reason=f"Invalid snapshot: Originating snapshot status must be available, not {found.status}")
        return found

    async def _ordered(self, context: Context, procedure: Cast[VolumeOrder], volume: Volume) -> Volume:
        await send(self._bus, context, procedure, volume)
        return volume


async def send(bus: Bus, context: Context, procedure: Cast[VolumeOrder], thing: Volume | VolumeSnapshot) -> None:
    """Order what has been recorded at its host, if it is on one. A bus that is away is no failure: the conductor orders it again."""
    if thing.host is None or thing.status in (Status.AVAILABLE, Status.DELETED):
        return
    try:
        await bus.cast(procedure.at(thing.host), VolumeOrder.of(context, thing))
    except BusError as failure:
        log.warning("%s of %s is recorded, but could not be ordered yet: %s", procedure.name, thing.id, failure)
