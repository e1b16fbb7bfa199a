"""What only the libvirt driver does, on real domains."""

import asyncio
import json
import os
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from novaflow.config import Compute
from novaflow.errors import GuestFailed
from novaflow.models import Flavor
from novaflow.states import Power
from novaflow.virt.choose import open_driver
from novaflow.virt.driver import Driver
from novaflow.virt.iso9660 import build_image
from tests.support.embedded import asked, host_process
from tests.support.guests import guest_spec, raw_image
from tests.support.hypervisors import embedded_host
from tests.support.libvirt import (
    need_libvirt,
    process_directory,
    qemu_process,
    sector_image,
    short_directory,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _libvirt() -> None:
    need_libvirt()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return sector_image(tmp_path)


@pytest.fixture
async def host() -> str:
    return f"host-{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def driver(host: str) -> AsyncIterator[Driver]:
    async with embedded_host(host) as made:
        yield made


@pytest.fixture
def directory() -> Iterator[Path]:
    with short_directory() as path:
        yield path


async def test_guests_outlive_a_process_that_is_killed_and_are_found_again(directory: Path, image: Path) -> None:
    server_id = str(uuid.uuid4())
    async with host_process(str(directory), server_id, str(image)) as (first, spawned):
        first.kill()
        await first.wait()
        pid = int(next((directory / "libvirt/run/qemu").glob("instance-*.pid")).read_text())
        os.kill(pid, 0)  # QEMU is alive

    async with host_process(str(directory)) as (_, found):
        pass

    assert spawned == {server_id: Power.RUNNING}
    assert found == {server_id: Power.RUNNING}
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert list((directory / "host/instances").iterdir()) == []


async def test_a_guest_that_died_while_nobody_watched_is_off(directory: Path, image: Path) -> None:
    server_id = str(uuid.uuid4())
    async with host_process(str(directory), server_id, str(image)) as (first, _):
        first.kill()
        await first.wait()
        os.kill(int(next((directory / "libvirt/run/qemu").glob("instance-*.pid")).read_text()), 9)

    async with host_process(str(directory)) as (_, found):
        assert found == {server_id: Power.SHUTDOWN}


async def test_one_process_has_the_directory_and_another_is_told_so(directory: Path) -> None:
    async with host_process(str(directory)):
        second = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.support.libvirt_host", str(directory),
            cwd=Path(__file__).parents[2], stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, said = await asyncio.wait_for(second.communicate(), 60)

    assert "another process runs the embedded libvirt of this directory" in said.decode()


async def test_a_domain_that_is_not_ours_is_never_touched(driver: Driver, image: Path) -> None:
    server_id = str(uuid.uuid4())
    async with stranger(server_id) as libvirt_has_it:
        assert await driver.guests() == []
        assert await driver.power(server_id) == Power.NOSTATE
        await driver.destroy(server_id)
        with pytest.raises(GuestFailed, match="belongs to somebody else"):
            await driver.spawn(guest_spec(server_id=server_id, disk=raw_image(image)))
        with pytest.raises(GuestFailed, match="belongs to somebody else"):
            await driver.power_on(server_id)
        assert await libvirt_has_it()


@asynccontextmanager
async def stranger(server_id: str) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    """A domain of that id that an administrator made by hand in the same libvirt."""
    xml = f"<domain type='qemu'><name>by-hand</name><uuid>{server_id}</uuid><memory>65536</memory><os><type>hvm</type></os></domain>"
    domain = await asked(lambda link: link.defineXML(xml))
    try:
        yield lambda: asked(lambda link: server_id in [one.UUIDString() for one in link.listAllDomains()])
    finally:
        await asked(lambda _: domain.undefine())


async def test_the_disk_is_an_overlay_of_the_flavors_size(driver: Driver, image: Path, host: str) -> None:
    guest = guest_spec(disk=raw_image(image), flavor=Flavor(id="3", name="m1.three", vcpus=1, ram_mb=64, disk_gb=3))

    await driver.spawn(guest)

    disk = process_directory() / host / "instances" / guest.server_id / "disk"
    told = await asyncio.create_subprocess_exec(
        "qemu-img", "info", "-U", "--output=json", str(disk), stdout=asyncio.subprocess.PIPE
    )  # fmt: skip
    info = json.loads((await told.communicate())[0])
    assert (info["format"], info["virtual-size"]) == ("qcow2", 3 * 2**30)
    assert (info["backing-filename"], info["backing-filename-format"]) == (str(image), "raw")


async def test_only_the_owner_may_read_the_config_drive(driver: Driver, image: Path, host: str) -> None:
    guest = guest_spec(disk=raw_image(image), config_drive=build_image("config-2", {"a": b"secret"}, NOW))

    await driver.spawn(guest)

    iso = process_directory() / host / "instances" / guest.server_id / "config.iso"
    assert iso.stat().st_mode & 0o777 == 0o600


async def test_a_guest_gets_its_vcpus_and_memory(driver: Driver, image: Path) -> None:
    guest = guest_spec(disk=raw_image(image), flavor=Flavor(id="2", name="m1.two", vcpus=2, ram_mb=96, disk_gb=1))

    await driver.spawn(guest)

    command = Path(f"/proc/{qemu_process(process_directory(), guest.server_id)}/cmdline").read_text().split("\0")
    assert command[command.index("-m") + 1] == "96"
    assert command[command.index("-smp") + 1].startswith("2,")
    assert command[command.index("-netdev") + 1].startswith("dgram,id=net0,local.type=unix,")
    assert command.count("-netdev") == 1


async def test_libvirts_own_test_driver_will_do(image: Path, tmp_path: Path) -> None:
    driver = open_driver(Compute(virt="test:///default"), host="host", directory=tmp_path)
    await driver.open()
    guest = guest_spec(disk=raw_image(image))

    assert await driver.guests() == []  # not even the domain that every test:///default has
    await driver.spawn(guest)
    assert await driver.power(guest.server_id) == Power.RUNNING
    await driver.power_off(guest.server_id, 5)
    assert await driver.power(guest.server_id) == Power.SHUTDOWN
    await driver.power_on(guest.server_id)
    await driver.reboot(guest.server_id, hard=True, timeout=0)
    await driver.destroy(guest.server_id)
    assert await driver.guests() == []
    await driver.close()


async def test_what_cannot_be_opened_says_why(tmp_path: Path) -> None:
    driver = open_driver(Compute(virt=f"qemu+unix:///session?socket={tmp_path}/none"), host="h", directory=tmp_path)

    with pytest.raises(GuestFailed, match="no libvirt daemon answers") as failed:
        await driver.open()

    assert (failed.value.operation, failed.value.server_id) == ("open", "host h")
