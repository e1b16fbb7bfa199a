"""Volumes of a fake host: real files, and guests that let go of them as real ones do."""

import asyncio

from novaflow.states import Power
from novaflow.virt.checks import GIB
from novaflow.virt.driver import StoredVolume
from novaflow.virt.fake.disk import read_note, write_disk
from novaflow.virt.fake.guest import DISKS, FakeGuest
from novaflow.virt.fake.host import FakeHost, new_id, refused
from novaflow.virt.image_facts import Refused
from novaflow.virt.volume_files import free_device


class Storing:
    """The part of FakeDriver that keeps volumes and their snapshots."""

    _host: FakeHost

    async def volumes(self) -> list[StoredVolume]:
        """By their directories."""
        return self._host.volumes.all()

    async def make_volume(self, volume_id: str, size_gb: int, snapshot_id: str = "") -> None:
        """A file that notes what would be on it: something new, or what is on the snapshot."""
        async with self._host.alone("make_volume", volume_id):
            await self._host.begin("make_volume", volume_id, self._host.delays.storage)
            disk = self._host.volumes.disk(volume_id)
            if not disk.exists():
                content = read_note(self._host.volumes.snapshot(snapshot_id)) if snapshot_id else new_id()
                self._host.volumes.prepare(disk)
                write_disk(disk, size_gb * GIB, content)

    async def remove_volume(self, volume_id: str) -> None:
        """Refused when a guest has it."""
        async with self._host.alone("remove_volume", volume_id):
            await self._host.begin("remove_volume", volume_id, self._host.delays.storage)
            self._host.volumes.remove(volume_id)

    async def attach_volume(self, server_id: str, volume_id: str, device: str) -> str:
        """Noted beside the volume, and that is all that a fake guest sees of it."""
        async with self._host.alone("attach_volume", server_id):
            await self._host.begin("attach_volume", server_id, self._host.delays.storage)
            guest = self._host.known("attach_volume", server_id)
            async with self._host.at_rest([volume_id]):
                noted = self._host.volumes.take(volume_id, server_id)
            if not noted.device:
                device = free_device(device, self._taken(guest))
                self._host.volumes.name_device(volume_id, server_id, device)
            return noted.device or device

    async def detach_volume(self, server_id: str, volume_id: str, timeout: float) -> None:
        """A guest that is paused, or that has no system to answer, does not let go."""
        async with self._host.alone("detach_volume", server_id):
            await self._host.begin("detach_volume", server_id, self._host.delays.storage)
            if self._host.volumes.stored(volume_id).server_id != server_id:
                return
            guest = self._host.get(server_id)
            answers = guest is None or not guest.is_on or self._hears(guest)
            if not answers:
                await asyncio.sleep(timeout)
                raise refused("detach_volume", server_id, f"the guest has not let the disk go in {timeout:g} s")
            self._host.volumes.let_go(volume_id)

    async def volume_snapshots(self) -> list[str]:
        """By their files."""
        return self._host.volumes.all_snapshots()

    async def snapshot_volume(self, volume_id: str, snapshot_id: str) -> None:
        """A copy."""
        holder = self._host.volumes.stored(volume_id).server_id
        async with self._host.alone("snapshot_volume", holder or volume_id):
            await self._host.begin("snapshot_volume", volume_id, self._host.delays.storage)
            path, disk = self._host.volumes.snapshot(snapshot_id), self._host.volumes.disk(volume_id)
            if path.exists():
                return
            if not disk.exists():
                raise Refused(f"there is no volume {volume_id} on this host")
            self._host.volumes.prepare(path)
            part = path.with_name(f"{snapshot_id}.part")
            part.write_bytes(disk.read_bytes())
            part.replace(path)

    async def remove_volume_snapshot(self, snapshot_id: str) -> None:
        """Its file goes."""
        async with self._host.alone("remove_volume_snapshot", snapshot_id):
            await self._host.begin("remove_volume_snapshot", snapshot_id, self._host.delays.storage)
            self._host.volumes.remove_snapshot(snapshot_id)

    def _hears(self, guest: FakeGuest) -> bool:
        return guest.power is Power.RUNNING and self._host.answers_power_button

    def _taken(self, guest: FakeGuest) -> set[str]:
        own = sum(name in guest.disks for name in DISKS) + guest.has_config_drive
        taken = {f"vd{letter}" for letter in "abcd"[:own]}
        return taken | {volume.device for volume in self._host.volumes.of(guest.server_id)}
