"""Guests of several libvirts on one machine take the ports of their screens where each finds a free one, and may both find the same."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from novaflow.errors import GuestFailed
from novaflow.states import Power
from novaflow.virt.domain_xml import domain_name
from novaflow.virt.driver import Driver
from tests.support.embedded import asked
from tests.support.guests import guest_spec, raw_image
from tests.support.hypervisors import embedded_host
from tests.support.libvirt import process_directory, sector_image


@pytest.fixture
async def driver() -> AsyncIterator[Driver]:
    async with embedded_host() as made:
        yield made


async def wants_port(server_id: str, port: int) -> None:
    """The guest, which is off, starts with its screen at this port, as if libvirt had just found it free."""
    xml = await asked(lambda link: str(link.lookupByUUIDString(server_id).XMLDesc(0)))
    fixed, changed = re.subn(r"port='-1' autoport='yes'", f"port='{port}' autoport='no'", xml)
    assert changed == 1
    await asked(lambda link: link.defineXML(fixed))


async def off(driver: Driver, directory: Path, port: int) -> str:
    """A guest that is off and wants this port; gives its id."""
    guest = guest_spec(disk=raw_image(sector_image(directory)))
    await driver.spawn(guest)
    await driver.power_off(guest.server_id, 0)
    await wants_port(guest.server_id, port)
    return guest.server_id


async def qemu_complained(server_id: str) -> None:
    """Wait until a QEMU of the guest found its port taken."""
    file = process_directory() / "libvirt" / "log" / "qemu" / f"{domain_name(server_id)}.log"
    async with asyncio.timeout(60):
        while "Failed to find an available port" not in file.read_text():
            await asyncio.sleep(0.02)


async def test_a_start_that_finds_its_port_taken_waits_for_it(driver: Driver, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server_id = await off(driver, tmp_path, port)
        starting = asyncio.create_task(driver.power_on(server_id))
        await qemu_complained(server_id)
    await starting

    assert await driver.power(server_id) == Power.RUNNING
    assert (await driver.console(server_id)).port == port


async def test_a_port_that_stays_taken_is_a_failure_that_says_so(driver: Driver, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server_id = await off(driver, tmp_path, taken.getsockname()[1])

        with pytest.raises(GuestFailed, match="Failed to find an available port"):
            await driver.power_on(server_id)

        assert await driver.power(server_id) == Power.SHUTDOWN
