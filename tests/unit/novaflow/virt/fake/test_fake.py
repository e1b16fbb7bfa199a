import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from novaflow.config import Compute
from novaflow.errors import GuestFailed
from novaflow.states import Power
from novaflow.virt.choose import fake_resources
from novaflow.virt.driver import GuestSpec, StoredVolume
from novaflow.virt.fake import FakeDelays, FakeDriver
from novaflow.virt.iso9660 import build_image
from tests.support.guests import guest_spec, raw_image

RESOURCES = fake_resources(Compute(), "host")


@pytest.fixture
def guest(tmp_path: Path) -> GuestSpec:
    (tmp_path / "disk").write_bytes(bytes(512))
    return guest_spec(disk=raw_image(tmp_path / "disk"))


async def test_the_console_says_that_this_is_a_fake_and_whose(tmp_path: Path, guest: GuestSpec) -> None:
    drive = build_image(
        "config-2", {"meta_data.json": b'{"hostname":"web.novalocal"}'}, datetime(2026, 1, 1, tzinfo=UTC)
    )
    driver = FakeDriver(tmp_path, RESOURCES)
    await driver.open()

    await driver.spawn(guest_spec(server_id=guest.server_id, disk=guest.disk, config_drive=drive))

    said = (await driver.console_output(guest.server_id, 1000)).decode()
    assert f"novaflow fake guest: instance-id {guest.server_id}" in said
    assert "novaflow fake guest: hostname web.novalocal" in said


async def test_a_guest_that_answers_the_button_is_off_at_once_and_says_so(tmp_path: Path, guest: GuestSpec) -> None:
    driver = FakeDriver(tmp_path, RESOURCES)
    await driver.open()
    await driver.spawn(guest)

    await driver.power_off(guest.server_id, 3600)

    assert await driver.power(guest.server_id) == Power.SHUTDOWN
    assert b"powering off" in await driver.console_output(guest.server_id, 1000)


async def test_a_hook_can_make_any_operation_fail(tmp_path: Path, guest: GuestSpec) -> None:
    seen: list[tuple[str, str]] = []

    async def before(operation: str, server_id: str) -> None:
        seen.append((operation, server_id))
        if operation == "spawn":
            raise GuestFailed(operation=operation, server_id=server_id, reason="the experiment wants it")

    driver = FakeDriver(tmp_path, RESOURCES, before=before)
    await driver.open()

    with pytest.raises(GuestFailed, match="the experiment wants it"):
        await driver.spawn(guest)

    assert seen == [("spawn", guest.server_id)]
    assert await driver.guests() == []


@pytest.mark.parametrize("is_there", [False, True], ids=["spawned with it", "attached"])
async def test_no_guest_gets_a_volume_while_it_is_copied(tmp_path: Path, guest: GuestSpec, is_there: object) -> None:
    goes_on = asyncio.Event()

    async def before(operation: str, server_id: str) -> None:
        if operation == "snapshot_volume":
            await goes_on.wait()

    driver = FakeDriver(tmp_path, RESOURCES, before=before)
    await driver.open()
    await driver.make_volume("v", 1)
    if is_there:
        await driver.spawn(guest)
    copying = asyncio.create_task(driver.snapshot_volume("v", "c"))
    await asyncio.sleep(0)

    mine = (StoredVolume(volume_id="v", server_id=guest.server_id, device="vdb"),)
    with_it = msgspec.structs.replace(guest, volumes=mine)
    getting = asyncio.create_task(
        driver.attach_volume(guest.server_id, "v", "vdb") if is_there else driver.spawn(with_it)
    )
    await asyncio.sleep(0)
    assert await driver.volumes() == [StoredVolume(volume_id="v")]
    goes_on.set()
    await asyncio.gather(copying, getting)

    assert tuple(await driver.volumes()) == mine
    assert await driver.volume_snapshots() == ["c"]


async def test_operations_take_as_long_as_they_are_told(tmp_path: Path, guest: GuestSpec) -> None:
    driver = FakeDriver(tmp_path, RESOURCES, delays=FakeDelays(spawn=0.05))
    await driver.open()
    started = time.monotonic()

    await driver.spawn(guest)

    assert time.monotonic() - started >= 0.05


async def test_a_damaged_file_is_an_error_that_names_the_host(tmp_path: Path) -> None:
    (tmp_path / "guests").mkdir()
    (tmp_path / "guests" / "a.json").write_bytes(b"{")

    with pytest.raises(GuestFailed, match="open failed for host host"):
        await FakeDriver(tmp_path, RESOURCES).open()


async def test_a_boot_is_cheap(tmp_path: Path, guest: GuestSpec) -> None:
    driver = FakeDriver(tmp_path, RESOURCES)
    await driver.open()
    started = time.process_time()

    for _ in range(100):
        await driver.spawn(guest)

    assert (time.process_time() - started) / 100 < 0.005  # of CPU; a fifth of it is usual
