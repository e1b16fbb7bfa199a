"""What nova-api does with volumes in a cloud whose other half runs, and what a test wants of them."""

from typing import Any

from novaflow.clock import SystemClock
from novaflow.db.volumes import Volumes, VolumeSnapshots
from novaflow.models import Server
from novaflow.operations.volume_snapshots import VolumeSnapshotOperations
from novaflow.operations.volumes import VolumeOperations
from novaflow.virt.driver import StoredVolume
from novaflow.volumes import ENDINGS, Volume, VolumeSnapshot
from tests.support.cloud import USER, Cloud


class Store:
    """The volumes of a cloud."""

    def __init__(self, world: Cloud) -> None:
        clock = SystemClock()
        self.world = world
        self.volumes, self.snapshots = Volumes(world.database), VolumeSnapshots(world.database)
        self.asked = VolumeOperations(self.volumes, self.snapshots, world.servers, world.bus, world.config, clock)
        self.copying = VolumeSnapshotOperations(self.snapshots, world.bus, world.config, clock)

    async def made(self, **more: Any) -> Volume:
        return await self.settled(await self.asked.create(USER, **({"size_gb": 1} | more)))

    async def attach(self, server: Server, volume: Volume) -> Volume:
        return await self.settled(await self.asked.attach(USER, server.id, volume.id))

    async def settled(self, volume: Volume) -> Volume:
        async def is_settled() -> bool:
            return (await self.volumes.on_host("", [volume.id]))[0].status not in ENDINGS

        await self.world.until(is_settled)
        return (await self.volumes.on_host("", [volume.id]))[0]

    async def copied(self, volume: Volume, *, may_be_in_use: bool = False) -> VolumeSnapshot:
        made = await self.copying.create(USER, volume.id, may_be_in_use=may_be_in_use)

        async def is_settled() -> bool:
            return (await self.snapshots.get(made.id)).status not in ENDINGS

        await self.world.until(is_settled)
        return await self.snapshots.get(made.id)

    async def stored(self, server: Server) -> list[StoredVolume]:
        return await self.world.drivers[server.host or ""].volumes()
