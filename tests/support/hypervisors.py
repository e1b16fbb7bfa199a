"""The hypervisors that every driver's contract is tested on, and what only a test does to them.

The guest is a boot sector: it says HELLO at every boot and ignores the power button.
"""

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from novaflow.config import Compute
from novaflow.states import Power
from novaflow.virt.choose import fake_resources, open_driver
from novaflow.virt.driver import BootSource, DiskImage, Driver, GuestSpec
from novaflow.virt.fake import FakeDriver
from tests.support.guests import console_has, guest_spec, raw_image
from tests.support.libvirt import boot_sector, need_libvirt, process_directory, qemu_process, sector_image

LIBVIRT = Compute(virt="qemu:///embed", virt_type="qemu")
KINDS = ("fake", "libvirt")


@dataclass
class Hypervisor:
    """A driver, what it boots, and the things only a test does to it."""

    kind: str
    driver: Driver
    image: DiskImage
    again: Callable[[str], Driver]  # a new driver on the same directory, by the host's name
    die: Callable[[str], None]  # ends a guest as a crash would
    says: bytes  # on the console, at every boot
    rescue: BootSource  # another system, and
    rescue_says: bytes  # what it says
    host: str = field(default_factory=lambda: f"host-{uuid.uuid4().hex[:8]}")

    def guest(self, **changes: Any) -> GuestSpec:
        """A small guest with an id of its own, that boots the image."""
        return guest_spec(**({"disk": self.image} | changes))

    async def running(self, **changes: Any) -> GuestSpec:
        """One that runs and has spoken."""
        guest = self.guest(**changes)
        await self.driver.spawn(guest)
        await self.said(guest.server_id)
        return guest

    async def said(self, server_id: str, times: int = 1) -> None:
        """Wait until the guest has spoken at so many boots."""
        await console_has(self.driver, server_id, self.says, times=times, seconds=30)

    async def boots(self, server_id: str) -> int:
        """How often it has spoken so far."""
        return (await self.driver.console_output(server_id, 100_000)).count(self.says)

    async def reaches(self, server_id: str, power: Power) -> None:
        """Wait for a power state."""
        async with asyncio.timeout(30):
            while await self.driver.power(server_id) != power:
                await asyncio.sleep(0.02)

    async def devices(self, server_id: str) -> set[str]:
        """The names of the disks that a running guest has."""
        if isinstance(self.driver, FakeDriver):
            mine = {volume.device for volume in await self.driver.volumes() if volume.server_id == server_id}
            return mine | self.driver.inside(server_id).drives.keys()
        return set((await self.driver.diagnostics(server_id)).disks)

    async def restart(self) -> None:
        """Another process takes over the host."""
        await self.driver.close()
        self.driver = self.again(self.host)
        await self.driver.open()

    @asynccontextmanager
    async def neighbour(self) -> AsyncIterator[Driver]:
        """Another host of the same cloud on the same machine, and what is left on it is removed."""
        other = self.again(f"other-{uuid.uuid4().hex[:8]}")
        await other.open()
        try:
            yield other
        finally:
            await clear(other)
            await other.close()


@asynccontextmanager
async def hypervisor_of(kind: str, directory: Path) -> AsyncIterator[Hypervisor]:
    """The hypervisor of that name with one open host; its guests end with it."""
    image, other = sector_image(directory), directory / "rescue.img"
    other.write_bytes(boot_sector(b"RESCUE\r\n"))
    made = (_fake if kind == "fake" else _embedded)(directory, raw_image(image), BootSource(disk=raw_image(other)))
    made.driver = made.again(made.host)
    async with opened(made):
        yield made


@asynccontextmanager
async def opened(made: Hypervisor) -> AsyncIterator[None]:
    """Its host is open; the guests that it has at the end are removed."""
    await made.driver.open()
    try:
        yield
    finally:
        await clear(made.driver)
        await made.driver.close()


@asynccontextmanager
async def embedded_host(host: str | None = None, on_notice: Callable[[str], None] = print) -> AsyncIterator[Driver]:
    """One open host of the libvirt in this process; its guests end with it. `on_notice`: as open_driver has it."""
    need_libvirt()
    name = host or f"host-{uuid.uuid4().hex[:8]}"
    driver = open_driver(LIBVIRT, host=name, directory=process_directory(), on_notice=on_notice)
    await driver.open()
    try:
        yield driver
    finally:
        await clear(driver)
        await driver.close()


async def clear(driver: Driver) -> None:
    """Remove every guest and every parked one, and what outlives them."""
    for guest in await driver.guests():
        await driver.destroy(guest.server_id)
    for server_id in await driver.parked():
        await driver.destroy(server_id)
    for volume in await driver.volumes():
        await driver.remove_volume(volume.volume_id)
    for snapshot_id in await driver.volume_snapshots():
        await driver.remove_volume_snapshot(snapshot_id)


def _fake(directory: Path, image: DiskImage, rescue: BootSource) -> Hypervisor:
    def again(host: str) -> FakeDriver:
        return FakeDriver(directory / host, fake_resources(Compute(), host), answers_power_button=False)

    def die(server_id: str) -> None:
        assert isinstance(made.driver, FakeDriver)
        made.driver.guest_dies(server_id)

    made = Hypervisor("fake", again("first"), image, again, die, b"ready", rescue, b"rescue system")
    return made


def _embedded(_: Path, image: DiskImage, rescue: BootSource) -> Hypervisor:
    need_libvirt()
    directory = process_directory()

    def again(host: str) -> Driver:
        return open_driver(LIBVIRT, host=host, directory=directory)

    def die(server_id: str) -> None:
        os.kill(qemu_process(directory, server_id), signal.SIGKILL)

    return Hypervisor("libvirt", again("first"), image, again, die, b"HELLO", rescue, b"RESCUE")
