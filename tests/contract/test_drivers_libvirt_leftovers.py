"""What a process leaves behind that is killed in the middle, and how the next one puts it right."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import libvirt
import pytest

from novaflow.images.inspect import inspect_file
from novaflow.states import Power
from novaflow.virt.driver import BootSource, Driver
from tests.support.embedded import asked, host_process, leave_disk
from tests.support.guests import console_has, guest_spec, raw_image
from tests.support.hypervisors import embedded_host
from tests.support.libvirt import boot_sector, need_libvirt, process_directory, sector_image, short_directory

MIB = 2**20
VOLUME, ANOTHER = "22222222-2222-4222-8222-222222222222", "33333333-3333-4333-8333-333333333333"


@pytest.fixture(autouse=True)
def _libvirt() -> None:
    need_libvirt()


@pytest.fixture
def host() -> str:
    return f"host-{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def driver(host: str) -> AsyncIterator[Driver]:
    async with embedded_host(host) as made:
        yield made


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return sector_image(tmp_path)


@pytest.fixture
def home(host: str) -> Path:
    return process_directory() / host / "instances"


async def reopened(driver: Driver) -> None:
    await driver.close()
    await driver.open()


async def asks_libvirt(server_id: str, *, undefine: bool = False) -> str:
    """The definition; with `undefine` libvirt forgets it."""

    def ask(link: libvirt.virConnect) -> str:
        domain = link.lookupByUUIDString(server_id)
        xml = str(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
        if undefine:
            domain.undefine()
        return xml

    return await asked(ask)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """An image that takes a while to copy."""
    path = tmp_path / "large.img"
    path.write_bytes(boot_sector() + os.urandom(300 * MIB))
    return path


@pytest.fixture
def directory() -> Iterator[Path]:
    with short_directory() as path:
        yield path


async def test_a_snapshot_whose_process_is_killed_leaves_no_file_and_the_next_one_is_whole(
    directory: Path, large: Path, tmp_path: Path
) -> None:
    server_id, path = str(uuid.uuid4()), tmp_path / "image.qcow2"
    marker = directory / "host" / "instances" / server_id / "copying"
    async with host_process(str(directory), server_id, str(large), str(path)) as (first, _):
        async with asyncio.timeout(60):
            while not (marker.exists() and Path(marker.read_text().splitlines()[0]).exists()):
                await asyncio.sleep(0.01)
        first.kill()
        await first.wait()
        assert marker.exists()

    async with host_process(str(directory)) as (second, found):
        assert found == {server_id: Power.RUNNING}
        assert not marker.exists()
        assert list(tmp_path.glob("image*")) == []
        second.kill()
        await second.wait()
    async with host_process(str(directory), server_id, "-", str(path)):
        pass

    assert inspect_file(path).format == "qcow2"
    assert [file.name for file in tmp_path.glob("image*")] == ["image.qcow2"]
    assert list((directory / "host/instances").iterdir()) == []


async def test_a_disk_that_a_killed_libvirt_was_giving_to_a_guest_is_given_to_it_again(
    driver: Driver, image: Path, home: Path, tmp_path: Path
) -> None:
    guest = guest_spec(disk=raw_image(image))
    await driver.spawn(guest)
    await driver.make_volume(VOLUME, 1)
    await driver.make_volume(ANOTHER, 1)

    async def leave(volume: str, name: str) -> None:
        half_given = leave_disk(home.parent / "volumes" / volume / "disk", name)
        await asked(lambda link: half_given(link.lookupByUUIDString(guest.server_id)))

    await leave(VOLUME, "libvirt-3")
    await leave(ANOTHER, "libvirt-5")

    assert await driver.attach_volume(guest.server_id, VOLUME, "vdb") == "vdb"
    await driver.snapshot(guest.server_id, tmp_path / "image.qcow2")
    assert await driver.attach_volume(guest.server_id, ANOTHER, "vdc") == "vdc"

    assert inspect_file(tmp_path / "image.qcow2").format == "qcow2"
    assert await driver.power(guest.server_id) is Power.RUNNING
    await driver.destroy(guest.server_id)
    for volume in (VOLUME, ANOTHER):
        await driver.remove_volume(volume)


async def test_what_was_half_parked_is_parked_when_the_host_opens(driver: Driver, image: Path, home: Path) -> None:
    guest = guest_spec(disk=raw_image(image))
    await driver.spawn(guest)
    await driver.power_off(guest.server_id, 0)
    (home / guest.server_id / "domain.xml").write_text(await asks_libvirt(guest.server_id, undefine=True))

    await reopened(driver)

    assert await driver.parked() == [guest.server_id]
    await driver.unpark(guest.server_id, is_running=True)
    await console_has(driver, guest.server_id, b"HELLO")
    assert sorted(file.name for file in (home / guest.server_id).iterdir()) == [
        "console.log",
        "disk",
        "qemu",
        "wire.json",
    ]


async def test_what_was_not_yet_parked_is_still_a_guest(driver: Driver, image: Path, home: Path) -> None:
    guest = guest_spec(disk=raw_image(image))
    await driver.spawn(guest)
    (home / guest.server_id / "domain.xml").write_text(await asks_libvirt(guest.server_id))

    await reopened(driver)

    assert await driver.parked() == []
    assert await driver.power(guest.server_id) == Power.RUNNING


@pytest.mark.parametrize("then", ["unrescue", "rescue"])
async def test_a_rescue_that_had_only_begun_can_be_undone_or_done(
    driver: Driver, image: Path, home: Path, tmp_path: Path, then: str
) -> None:
    other = tmp_path / "rescue.img"
    other.write_bytes(boot_sector(b"RESCUE\r\n"))
    guest = guest_spec(disk=raw_image(image))
    await driver.spawn(guest)
    await console_has(driver, guest.server_id, b"HELLO")
    (home / guest.server_id / "unrescue.xml").write_text(await asks_libvirt(guest.server_id))
    (home / guest.server_id / "rescue").mkdir()
    await reopened(driver)

    if then == "rescue":
        await driver.rescue(guest, BootSource(disk=raw_image(other)))
        await console_has(driver, guest.server_id, b"RESCUE")
    await driver.unrescue(guest.server_id)

    await console_has(driver, guest.server_id, b"HELLO", times=2)
    assert sorted(file.name for file in (home / guest.server_id).iterdir()) == [
        "console.log",
        "disk",
        "qemu",
        "wire.json",
    ]
