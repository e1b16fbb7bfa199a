"""Two private libvirt daemons as two hosts of one cloud: what guests that move while they run need."""

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import libvirt
import msgspec
import pytest

from novaflow.config import Compute
from novaflow.virt.choose import open_driver
from novaflow.virt.driver import BootSource, Driver, GuestSpec, Incoming
from novaflow.virt.libvirt.connection import release, share
from services.private.libvirtd import LibvirtdFailed, PrivateLibvirtd, as_somebody, program
from tests.support.guests import raw_image
from tests.support.hypervisors import Hypervisor, opened
from tests.support.libvirt import need_libvirt, sector_image

EMULATED = Compute(virt_type="qemu")
DIRTIES = b"""mkdir /tmp/dirt
mount -t tmpfs none /tmp/dirt
(while :; do dd if=/dev/urandom of=/tmp/dirt/file bs=1M count=32 conv=notrunc 2>/dev/null; done) &
"""
"""User data of a guest whose memory changes all the time."""
SLOW, IMPATIENT = 16, 1  # MiB in a second; ms that a guest which moves may stand still
SECONDS = 100.0  # for an emulated guest on a busy machine


@dataclass
class TwoDaemons:
    """A hypervisor whose one host has the first daemon, and whose every other host has the second."""

    directory: Path
    first: PrivateLibvirtd
    second: PrivateLibvirtd
    host: str
    settings: Compute

    @property
    def hosts(self) -> Path:
        """Where the hosts' files are."""
        return self.directory / "hosts"

    def driver_of(self, host: str) -> Driver:
        """A new driver of that host."""
        uri = (self.first if host == self.host else self.second).uri
        settings = msgspec.structs.replace(self.settings, virt=uri)
        return open_driver(settings, host=host, directory=self.hosts)

    def die(self, server_id: str) -> None:
        """The QEMU of a guest of the first daemon is killed."""
        pid = self.directory / "one" / "run" / "libvirt" / "qemu" / "run" / f"instance-{server_id[:8]}.pid"
        os.kill(int(pid.read_text()), signal.SIGKILL)


def need_libvirtd() -> None:
    """Skip where no private libvirtd can run, but fail in CI, where it should."""
    need_libvirt()
    try:
        program()
        as_somebody()
    except LibvirtdFailed as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"a private libvirtd should run in CI: {error}")
        pytest.skip(str(error))


@asynccontextmanager
async def daemons(directory: Path, settings: Compute = EMULATED) -> AsyncIterator[TwoDaemons]:
    """Two of them, whose guests end with them."""
    need_libvirtd()
    async with PrivateLibvirtd(directory / "one") as first, PrivateLibvirtd(directory / "two") as second:
        yield TwoDaemons(directory, first, second, f"host-{uuid.uuid4().hex[:8]}", settings)


@asynccontextmanager
async def two_hosts(two: TwoDaemons) -> AsyncIterator[Hypervisor]:
    """The hypervisor of the contract tests, open."""
    image = sector_image(two.directory)
    system, rescue = raw_image(image), BootSource(disk=raw_image(image))
    driver = two.driver_of(two.host)
    made = Hypervisor("libvirtd", driver, system, two.driver_of, two.die, b"HELLO", rescue, b"HELLO", host=two.host)
    async with opened(made):
        yield made


async def way(here: Driver, guest: GuestSpec, there: Driver) -> Incoming:
    """The other host is ready for the guest."""
    return await there.prepare_incoming(guest, await here.disk_sizes(guest.server_id))


async def copied_twice(uri: str, server_id: str) -> None:
    """Make the way of a guest that leaves slow, and wait until all of its memory has been copied and has changed, more than once."""
    connection = share(uri)

    def passes(link: libvirt.virConnect) -> int:
        domain = link.lookupByUUIDString(server_id)
        domain.migrateSetMaxSpeed(SLOW)
        domain.migrateSetMaxDowntime(IMPATIENT)
        return int(domain.jobStats().get("memory_iteration", 0))

    async with asyncio.timeout(SECONDS):
        while await connection.run(passes) < 3:
            await asyncio.sleep(0.1)
    await release(connection)
