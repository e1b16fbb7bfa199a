"""Coming, going, off and on."""

import asyncio
from pathlib import Path

from novaflow.states import Power
from novaflow.virt.checks import GIB
from novaflow.virt.driver import DiskImage, GuestSpec
from novaflow.virt.fake.disk import read_note
from novaflow.virt.fake.guest import halted, made, saying
from novaflow.virt.fake.host import FakeHost, check, new_id
from novaflow.virt.image_facts import Format


class Living:
    """The part of FakeDriver that makes guests, ends them, and switches them."""

    _host: FakeHost

    async def spawn(self, guest: GuestSpec) -> None:
        """Check the inputs as the real driver does, then be running."""
        async with self._host.alone("spawn", guest.server_id):
            self._host.forget(guest.server_id)
            found = check("spawn", guest)
            await self._host.begin("spawn", guest.server_id, self._host.delays.spawn)
            async with self._host.at_rest(volume.volume_id for volume in guest.volumes):
                self._host.volumes.take_all(guest.volumes)
            size = max(guest.flavor.disk_gb * GIB, image_bytes(guest.disk, found)) if guest.disk else 0
            self._host.boot(made(guest, content=content_of(guest.disk) if guest.disk else "", disk_bytes=size))

    async def destroy(self, server_id: str) -> None:
        """Gone, with its file and with a parked one."""
        self._host.copying.interrupt(server_id)
        async with self._host.alone("destroy", server_id):
            await self._host.begin("destroy", server_id, self._host.delays.destroy)
            was_here = self._host.get(server_id)
            self._host.forget(server_id)
            self._host.files.forget_parked(server_id)
            self._host.volumes.let_go_of(server_id)
            if was_here:
                self._host.tell(server_id, Power.SHUTDOWN)

    async def power_on(self, server_id: str) -> None:
        """With its saved memory, if there is any. Raises GuestFailed when there is no such guest."""
        async with self._host.alone("power_on", server_id):
            await self._host.begin("power_on", server_id, self._host.delays.power_on)
            self._host.start(self._host.known("power_on", server_id))

    async def power_off(self, server_id: str, timeout: float) -> None:
        """A guest that ignores the power button goes down after `timeout`, as a real one would."""
        await self._host.begin("power_off", server_id, self._host.delays.power_off)
        runs = await self.power(server_id) == Power.RUNNING
        hears = runs and timeout > 0 and self._host.answers_power_button
        if runs and timeout > 0 and not hears:
            await asyncio.sleep(timeout)
        async with self._host.alone("power_off", server_id):
            guest = self._host.get(server_id)
            if guest and (guest.is_on or guest.is_saved):
                self._host.keep(halted(saying(guest, "powering off") if hears else guest))

    async def reboot(self, server_id: str, *, hard: bool, timeout: float) -> None:
        """Off by the button or by the plug, then on again."""
        self._host.known("reboot", server_id)
        await self.power_off(server_id, 0.0 if hard else timeout)
        async with self._host.alone("reboot", server_id):
            await self._host.begin("reboot", server_id, self._host.delays.power_on)
            self._host.boot(self._host.known("reboot", server_id))

    async def power(self, server_id: str) -> Power:
        """NOSTATE when there is no such guest."""
        guest = self._host.get(server_id)
        return guest.power if guest else Power.NOSTATE


def content_of(image: DiskImage) -> str:
    """What is on a disk made from this image: what a fake guest left there, or something new, as a first boot would write."""
    noted = read_note(Path(image.path)) if image.format == "qcow2" else ""
    return noted or new_id()


def image_bytes(image: DiskImage, found: Format | None) -> int:
    """The size inside; for formats that only qemu-img knows, the size outside must do."""
    return found.virtual_bytes if found else image.size_bytes
