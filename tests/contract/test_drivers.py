"""What every driver does alike. The guest is a boot sector: it says HELLO and ignores the power button."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from novaflow.errors import GuestFailed
from novaflow.models import Address, Flavor
from novaflow.states import Power
from novaflow.virt.driver import DiskImage, GuestState
from tests.support.guests import ADDRESS, SMALL
from tests.support.hypervisors import Hypervisor


async def test_a_spawned_guest_runs_and_speaks(hypervisor: Hypervisor) -> None:
    guest = hypervisor.guest()

    await hypervisor.driver.spawn(guest)

    assert await hypervisor.driver.power(guest.server_id) == Power.RUNNING
    assert await hypervisor.driver.guests() == [GuestState(server_id=guest.server_id, power=Power.RUNNING)]
    await hypervisor.said(guest.server_id)


async def test_spawning_a_guest_that_is_there_replaces_it(hypervisor: Hypervisor) -> None:
    guest = hypervisor.guest()
    await hypervisor.driver.spawn(guest)
    await hypervisor.said(guest.server_id)

    await hypervisor.driver.spawn(guest)

    assert len(await hypervisor.driver.guests()) == 1
    await hypervisor.said(guest.server_id)
    assert (await hypervisor.driver.console_output(guest.server_id, 10_000)).count(hypervisor.says) == 1


async def test_a_destroyed_guest_is_gone_and_may_be_destroyed_again(hypervisor: Hypervisor) -> None:
    guest = hypervisor.guest()
    await hypervisor.driver.spawn(guest)

    for _ in range(2):
        await hypervisor.driver.destroy(guest.server_id)

    assert await hypervisor.driver.guests() == []
    assert await hypervisor.driver.power(guest.server_id) == Power.NOSTATE
    assert await hypervisor.driver.console_output(guest.server_id, 100) == b""


async def test_what_never_was_can_be_destroyed_and_powered_off(hypervisor: Hypervisor) -> None:
    nobody = str(uuid.uuid4())

    await hypervisor.driver.destroy(nobody)
    await hypervisor.driver.power_off(nobody, 5)

    assert await hypervisor.driver.guests() == []


@pytest.mark.parametrize("operation", ["power_on", "soft reboot", "hard reboot"])
async def test_what_never_was_cannot_be_started(hypervisor: Hypervisor, operation: str) -> None:
    nobody = str(uuid.uuid4())
    reboot = partial(hypervisor.driver.reboot, hard=operation.startswith("hard"), timeout=5)
    start = hypervisor.driver.power_on if operation == "power_on" else reboot

    with pytest.raises(GuestFailed) as failed:
        await start(nobody)

    assert failed.value.operation == operation.split()[-1]
    assert failed.value.server_id == nobody


async def test_off_and_on_and_each_of_it_twice(hypervisor: Hypervisor) -> None:
    guest = hypervisor.guest()
    await hypervisor.driver.spawn(guest)

    for _ in range(2):
        await hypervisor.driver.power_off(guest.server_id, 0)
        assert await hypervisor.driver.guests() == [GuestState(server_id=guest.server_id, power=Power.SHUTDOWN)]
    for _ in range(2):
        await hypervisor.driver.power_on(guest.server_id)
        assert await hypervisor.driver.power(guest.server_id) == Power.RUNNING


async def test_a_guest_that_ignores_the_button_loses_power_after_the_timeout(hypervisor: Hypervisor) -> None:
    guest = hypervisor.guest()
    await hypervisor.driver.spawn(guest)
    asked_at = time.monotonic()

    await hypervisor.driver.power_off(guest.server_id, 1.0)

    assert time.monotonic() - asked_at >= 1.0
    assert await hypervisor.driver.power(guest.server_id) == Power.SHUTDOWN


@pytest.mark.parametrize("hard", [True, False], ids=["hard", "soft"])
async def test_a_reboot_boots_again_and_keeps_the_console(hypervisor: Hypervisor, hard: bool) -> None:
    guest = hypervisor.guest()
    await hypervisor.driver.spawn(guest)
    await hypervisor.said(guest.server_id)

    await hypervisor.driver.reboot(guest.server_id, hard=hard, timeout=0.5)

    assert await hypervisor.driver.power(guest.server_id) == Power.RUNNING
    await hypervisor.said(guest.server_id, times=2)


async def test_a_guest_that_is_off_can_be_rebooted(hypervisor: Hypervisor) -> None:
    guest = hypervisor.guest()
    await hypervisor.driver.spawn(guest)
    await hypervisor.driver.power_off(guest.server_id, 0)

    await hypervisor.driver.reboot(guest.server_id, hard=True, timeout=0)

    assert await hypervisor.driver.power(guest.server_id) == Power.RUNNING


async def test_the_console_is_read_from_its_end(hypervisor: Hypervisor) -> None:
    guest = hypervisor.guest()
    await hypervisor.driver.spawn(guest)
    await hypervisor.said(guest.server_id)
    whole = await hypervisor.driver.console_output(guest.server_id, 10_000)

    assert await hypervisor.driver.console_output(guest.server_id, 4) == whole[-4:]
    assert await hypervisor.driver.console_output(guest.server_id, 0) == b""


async def test_listeners_hear_of_power_until_the_driver_closes(hypervisor: Hypervisor) -> None:
    guest = hypervisor.guest()
    heard: list[GuestState] = []

    async def listen(events: AsyncIterator[GuestState]) -> None:
        async for state in events:
            heard.append(state)

    listener = asyncio.create_task(listen(hypervisor.driver.events()))
    await hypervisor.driver.spawn(guest)
    await hypervisor.driver.destroy(guest.server_id)
    async with asyncio.timeout(10):
        while not heard or heard[-1].power != Power.SHUTDOWN:
            await asyncio.sleep(0.01)
    await hypervisor.driver.close()
    await asyncio.wait_for(listener, 10)
    await hypervisor.driver.open()

    assert {state.server_id for state in heard} == {guest.server_id}
    assert heard[0].power == Power.RUNNING


async def test_a_guest_that_dies_is_off_is_told_and_can_be_started_again(hypervisor: Hypervisor) -> None:
    guest = hypervisor.guest()
    await hypervisor.driver.spawn(guest)
    await hypervisor.said(guest.server_id)
    events = hypervisor.driver.events()

    hypervisor.die(guest.server_id)

    async with asyncio.timeout(30):
        async for state in events:
            if state == GuestState(server_id=guest.server_id, power=Power.SHUTDOWN):
                break
    await hypervisor.reaches(guest.server_id, Power.SHUTDOWN)
    await hypervisor.driver.power_on(guest.server_id)
    assert await hypervisor.driver.power(guest.server_id) == Power.RUNNING


async def test_guests_outlive_the_driver(hypervisor: Hypervisor) -> None:
    on, off = hypervisor.guest(), hypervisor.guest(addresses=())
    for guest in (on, off):
        await hypervisor.driver.spawn(guest)
    await hypervisor.driver.power_off(off.server_id, 0)

    await hypervisor.restart()

    found = {guest.server_id: guest.power for guest in await hypervisor.driver.guests()}
    assert found == {on.server_id: Power.RUNNING, off.server_id: Power.SHUTDOWN}


async def test_a_host_leaves_the_guests_of_another_host_alone(hypervisor: Hypervisor) -> None:
    guest = hypervisor.guest()
    await hypervisor.driver.spawn(guest)

    async with hypervisor.neighbour() as other:
        assert await other.guests() == []
        assert await other.power(guest.server_id) == Power.NOSTATE
        await other.destroy(guest.server_id)

    assert await hypervisor.driver.power(guest.server_id) == Power.RUNNING


async def test_a_cancelled_spawn_leaves_nothing(hypervisor: Hypervisor) -> None:
    guest = hypervisor.guest()
    spawning = asyncio.create_task(hypervisor.driver.spawn(guest))
    await asyncio.sleep(0.1)  # somewhere in the middle, for the driver that takes its time

    if not spawning.cancel():
        await hypervisor.driver.destroy(guest.server_id)
    await asyncio.wait([spawning])

    assert await hypervisor.driver.guests() == []


async def test_spawn_and_destroy_at_once_end_with_nothing(hypervisor: Hypervisor) -> None:
    guest = hypervisor.guest()

    await asyncio.gather(hypervisor.driver.spawn(guest), hypervisor.driver.destroy(guest.server_id))
    await hypervisor.driver.destroy(guest.server_id)

    assert await hypervisor.driver.guests() == []


async def test_a_name_that_no_format_likes_is_only_a_name(hypervisor: Hypervisor) -> None:
    guest = hypervisor.guest(name="</name>&quot;\"'\n\x00\x1b\ufffe,%s${x}")

    await hypervisor.driver.spawn(guest)

    assert await hypervisor.driver.power(guest.server_id) == Power.RUNNING


async def test_a_host_has_resources(hypervisor: Hypervisor) -> None:
    resources = await hypervisor.driver.resources()

    assert min(resources.vcpus, resources.ram_mb, resources.disk_gb, resources.hypervisor_version) > 0
    assert resources.hypervisor_hostname
    assert resources.cpu_info["arch"] == "x86_64"


BIG = Flavor(id="9", name="m1.nothing", vcpus=0, ram_mb=64, disk_gb=1)
BACKED = b"QFI\xfb" + (2).to_bytes(4, "big") + (4096).to_bytes(8, "big") + bytes(8) + (2**20).to_bytes(8, "big")
HUGE = b"QFI\xfb" + (2).to_bytes(4, "big") + bytes(16) + (2**40).to_bytes(8, "big")
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no such image": ({"disk": DiskImage(path="/nowhere/disk", format="raw", size_bytes=1)}, "/nowhere/disk"),
    "relative path": ({"disk": DiskImage(path="sector.img", format="raw", size_bytes=1)}, "sector.img"),
    "directory": ({"disk": DiskImage(path="/tmp", format="raw", size_bytes=1)}, "/tmp"),
    "unknown format": ({"disk": DiskImage(path="", format="rar", size_bytes=1)}, "'rar'"),
    "empty": ({"disk": b""}, "empty"),
    "not qcow2": ({"disk": bytes(512)}, "claims to be qcow2"),
    "backing file": ({"disk": BACKED.ljust(512, b"\0")}, "backing file"),
    "larger than the flavor": ({"disk": HUGE.ljust(512, b"\0")}, "m1.small has a disk of 1 GB"),
    "nothing to boot": ({"disk": None}, "neither a disk nor a kernel"),
    "ramdisk alone": ({"ramdisk": "/bin/sh"}, "needs a kernel"),
    "no such kernel": ({"kernel": "/nowhere/vmlinuz"}, "/nowhere/vmlinuz"),
    "no vcpus": ({"flavor": BIG}, "m1.nothing"),
    "not an ISO": ({"config_drive": b"hello"}, "ISO 9660"),
    "bad MAC": ({"addresses": (Address(network="n", ip="10.0.0.5", mac="fa:16,restrict=off"),)}, "MAC"),
    "bad address": ({"addresses": (Address(network="n", ip="10.0.0", mac=ADDRESS.mac),)}, "'10.0.0'"),
    "outside the subnet": ({"subnet": "10.9.0.0/24", "addresses": (ADDRESS,)}, "not in the subnet"),
    "bad id": ({"server_id": "../../etc"}, "UUID"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_guest_that_cannot_be_is_refused_and_leaves_nothing(
    hypervisor: Hypervisor, tmp_path: Path, case: str
) -> None:
    changes, word = REFUSED[case]
    disk = changes.get("disk")
    if isinstance(disk, bytes):
        (tmp_path / "disk").write_bytes(disk)
        changes = {"disk": DiskImage(path=str(tmp_path / "disk"), format="qcow2", size_bytes=len(disk))}
    elif disk and not disk.path:
        changes = {"disk": DiskImage(path=hypervisor.image.path, format=disk.format, size_bytes=1)}

    with pytest.raises(GuestFailed) as failed:
        await hypervisor.driver.spawn(hypervisor.guest(**changes))

    assert failed.value.operation == "spawn"
    assert word in failed.value.reason
    assert await hypervisor.driver.guests() == []


async def test_a_flavor_without_a_disk_of_its_own_takes_any_image(hypervisor: Hypervisor) -> None:
    guest = hypervisor.guest(flavor=Flavor(id="0", name="m1.any", vcpus=1, ram_mb=SMALL.ram_mb, disk_gb=0))

    await hypervisor.driver.spawn(guest)

    await hypervisor.said(guest.server_id)
