"""Another system in the guest's place, and the own one back."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from novaflow.errors import GuestFailed
from novaflow.states import Power
from novaflow.virt.driver import BootSource, DiskImage, GuestSpec
from tests.support.guests import console_has
from tests.support.hypervisors import Hypervisor


async def rescued(hypervisor: Hypervisor) -> GuestSpec:
    """A guest that ran, in whose place the rescue system runs."""
    guest = await hypervisor.running()
    await hypervisor.driver.rescue(guest, hypervisor.rescue)
    await console_has(hypervisor.driver, guest.server_id, hypervisor.rescue_says)
    return guest


async def test_the_rescue_system_runs_until_the_own_one_is_wanted_back(hypervisor: Hypervisor) -> None:
    guest = await rescued(hypervisor)
    assert await hypervisor.driver.power(guest.server_id) == Power.RUNNING
    assert len(await hypervisor.driver.guests()) == 1
    before = await hypervisor.boots(guest.server_id)

    for _ in range(2):
        await hypervisor.driver.unrescue(guest.server_id)
        assert await hypervisor.driver.power(guest.server_id) == Power.RUNNING

    await hypervisor.said(guest.server_id, times=before + 1)


async def test_a_guest_that_is_off_or_paused_or_saved_can_be_rescued(hypervisor: Hypervisor) -> None:
    guest = await hypervisor.running()
    for bring in (
        partial(hypervisor.driver.power_off, timeout=0),
        hypervisor.driver.pause,
        hypervisor.driver.suspend,
    ):
        await bring(guest.server_id)

        await hypervisor.driver.rescue(guest, hypervisor.rescue)

        assert await hypervisor.driver.power(guest.server_id) == Power.RUNNING
        before = await hypervisor.boots(guest.server_id)
        await hypervisor.driver.unrescue(guest.server_id)
        await hypervisor.said(guest.server_id, times=before + 1)  # what was saved is forgotten


async def test_a_rescued_guest_is_rescued_anew(hypervisor: Hypervisor) -> None:
    guest = await rescued(hypervisor)

    await hypervisor.driver.rescue(guest, hypervisor.rescue)

    await console_has(hypervisor.driver, guest.server_id, hypervisor.rescue_says, times=2)
    assert await hypervisor.driver.power(guest.server_id) == Power.RUNNING


@pytest.mark.parametrize("by", ["off and on", "hard reboot"])
async def test_a_rescued_guest_boots_the_rescue_system_again(hypervisor: Hypervisor, by: str) -> None:
    guest = await rescued(hypervisor)

    if by == "off and on":
        await hypervisor.driver.power_off(guest.server_id, 0)
        await hypervisor.driver.power_on(guest.server_id)
    else:
        await hypervisor.driver.reboot(guest.server_id, hard=True, timeout=0)

    await console_has(hypervisor.driver, guest.server_id, hypervisor.rescue_says, times=2)


async def test_a_guest_that_runs_and_is_not_rescued_is_left_alone(hypervisor: Hypervisor) -> None:
    guest = await hypervisor.running()

    await hypervisor.driver.unrescue(guest.server_id)

    assert await hypervisor.driver.power(guest.server_id) == Power.RUNNING
    assert await hypervisor.boots(guest.server_id) == 1


async def test_a_guest_that_is_off_and_not_rescued_runs_afterwards(hypervisor: Hypervisor) -> None:
    guest = await hypervisor.running()
    await hypervisor.driver.power_off(guest.server_id, 0)

    await hypervisor.driver.unrescue(guest.server_id)

    await hypervisor.said(guest.server_id, times=2)


async def test_what_never_was_can_be_neither_rescued_nor_unrescued(hypervisor: Hypervisor) -> None:
    guest = hypervisor.guest()

    with pytest.raises(GuestFailed) as rescuing:
        await hypervisor.driver.rescue(guest, hypervisor.rescue)
    with pytest.raises(GuestFailed) as unrescuing:
        await hypervisor.driver.unrescue(guest.server_id)

    assert (rescuing.value.operation, rescuing.value.server_id) == ("rescue", guest.server_id)
    assert (unrescuing.value.operation, unrescuing.value.server_id) == ("unrescue", guest.server_id)
    assert await hypervisor.driver.guests() == []


BACKED = b"QFI\xfb" + (2).to_bytes(4, "big") + (4096).to_bytes(8, "big") + bytes(8) + (2**20).to_bytes(8, "big")


@pytest.mark.parametrize("system", ["none", "missing", "backed", "ramdisk alone"])
@pytest.mark.parametrize("was_rescued", [False, True], ids=["", "again"])
async def test_a_rescue_that_is_refused_leaves_the_guest_off_and_its_own(
    hypervisor: Hypervisor, tmp_path: Path, system: str, was_rescued: bool
) -> None:
    guest = await (rescued(hypervisor) if was_rescued else hypervisor.running())
    before = await hypervisor.boots(guest.server_id)
    backed = tmp_path / "backed"
    backed.write_bytes(BACKED.ljust(512, b"\0"))
    source = {
        "none": BootSource(),
        "missing": BootSource(disk=DiskImage(path="/nowhere/disk", format="raw", size_bytes=1)),
        "backed": BootSource(disk=DiskImage(path=str(backed), format="qcow2", size_bytes=512)),
        "ramdisk alone": BootSource(disk=hypervisor.image, ramdisk="/bin/sh"),
    }[system]

    with pytest.raises(GuestFailed) as failed:
        await hypervisor.driver.rescue(guest, source)

    assert failed.value.operation == "rescue"
    assert await hypervisor.driver.power(guest.server_id) == Power.SHUTDOWN
    await hypervisor.driver.power_on(guest.server_id)
    await hypervisor.said(guest.server_id, times=before + 1)
    assert (await hypervisor.driver.console_output(guest.server_id, 100_000)).count(hypervisor.rescue_says) == int(
        was_rescued
    )


async def test_a_rescue_image_may_be_larger_than_the_flavors_disk(hypervisor: Hypervisor, tmp_path: Path) -> None:
    guest = await hypervisor.running()
    large = tmp_path / "large.img"
    with large.open("wb") as stream:
        stream.write(Path(hypervisor.rescue.disk.path if hypervisor.rescue.disk else "").read_bytes())
        stream.truncate(2 * 2**30)

    await hypervisor.driver.rescue(
        guest, BootSource(disk=DiskImage(path=str(large), format="raw", size_bytes=large.stat().st_size))
    )

    await console_has(hypervisor.driver, guest.server_id, hypervisor.rescue_says)


async def test_a_rescue_outlives_the_driver(hypervisor: Hypervisor) -> None:
    guest = await rescued(hypervisor)

    await hypervisor.restart()

    assert await hypervisor.driver.power(guest.server_id) == Power.RUNNING
    before = await hypervisor.boots(guest.server_id)
    await hypervisor.driver.unrescue(guest.server_id)
    await hypervisor.said(guest.server_id, times=before + 1)


async def test_a_rescued_guest_that_is_destroyed_is_gone(hypervisor: Hypervisor) -> None:
    guest = await rescued(hypervisor)

    await hypervisor.driver.destroy(guest.server_id)

    assert await hypervisor.driver.guests() == []
    await hypervisor.driver.spawn(guest)
    await hypervisor.said(guest.server_id)


async def test_a_rescued_guest_that_is_spawned_anew_is_its_own(hypervisor: Hypervisor) -> None:
    guest = await rescued(hypervisor)

    await hypervisor.driver.spawn(guest)

    await hypervisor.said(guest.server_id)
    assert hypervisor.rescue_says not in await hypervisor.driver.console_output(guest.server_id, 100_000)


async def test_after_a_cancelled_rescue_the_guest_can_be_had_back(hypervisor: Hypervisor) -> None:
    guest = await hypervisor.running()
    rescuing = asyncio.create_task(hypervisor.driver.rescue(guest, hypervisor.rescue))
    await asyncio.sleep(0.1)  # somewhere in the middle, for the driver that takes its time

    rescuing.cancel()
    await asyncio.wait([rescuing])

    await hypervisor.driver.unrescue(guest.server_id)
    assert await hypervisor.driver.power(guest.server_id) == Power.RUNNING
    await hypervisor.said(guest.server_id, times=2)


async def test_a_rescue_of_a_guest_of_another_host_is_refused(hypervisor: Hypervisor) -> None:
    guest = await hypervisor.running()

    async with hypervisor.neighbour() as other:
        with pytest.raises(GuestFailed):
            await other.rescue(hypervisor.guest(server_id=guest.server_id), hypervisor.rescue)
        assert await other.guests() == []

    assert await hypervisor.driver.power(guest.server_id) == Power.RUNNING
