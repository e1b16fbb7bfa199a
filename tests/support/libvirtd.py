"""Two private libvirt daemons as two hosts of one cloud: what guests that move while they run need."""

import os
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from novaflow.config import Compute
from novaflow.virt.choose import open_driver
from novaflow.virt.driver import BootSource, Driver
from services.private.libvirtd import LibvirtdFailed, PrivateLibvirtd, as_somebody, program
from tests.support.guests import raw_image
from tests.support.hypervisors import Hypervisor, clear
from tests.support.libvirt import boot_sector, need_libvirt

EMULATED = Compute(virt_type="qemu")


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
async def two_daemons(directory: Path, settings: Compute = EMULATED) -> AsyncIterator[Hypervisor]:
    """A hypervisor whose one host has one daemon, and whose every other host shares another."""
    need_libvirtd()
    image = directory / "sector.img"
    image.write_bytes(boot_sector())
    first, rescue = f"host-{uuid.uuid4().hex[:8]}", BootSource(disk=raw_image(image))
    async with PrivateLibvirtd(directory / "one") as one, PrivateLibvirtd(directory / "two") as two:

        def again(host: str) -> Driver:
            uri = (one if host == first else two).uri
            return open_driver(
                Compute(virt=uri, virt_type="qemu", **settings), host=host, directory=directory / "hosts"
            )

        def die(server_id: str) -> None:
            name = f"instance-{server_id[:8]}"
            os.kill(int((directory / "one/run/libvirt/qemu/run" / f"{name}.pid").read_text()), signal.SIGKILL)

        made = Hypervisor(
            "libvirtd", again(first), raw_image(image), again, die, b"HELLO", rescue, b"HELLO", host=first
        )
        await made.driver.open()
        try:
            yield made
        finally:
            await clear(made.driver)
            await made.driver.close()
