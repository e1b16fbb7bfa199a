"""Images of guests: whole qcow2 files, from a guest in any state, which goes on as if nothing had been."""

import asyncio
import uuid
from pathlib import Path

import pytest

from novaflow.errors import GuestFailed
from novaflow.images.inspect import check, inspect_file
from novaflow.states import Power
from novaflow.virt.driver import DiskImage
from tests.support.hypervisors import Hypervisor

GIB = 2**30
STATES = ("running", "paused", "saved", "stopped")


async def bring(hypervisor: Hypervisor, server_id: str, state: str) -> Power:
    """The guest into that state; the power that it shows then."""
    if state == "paused":
        await hypervisor.driver.pause(server_id)
    elif state == "saved":
        await hypervisor.driver.suspend(server_id)
    elif state == "stopped":
        await hypervisor.driver.power_off(server_id, 0)
    return await hypervisor.driver.power(server_id)


@pytest.mark.parametrize("state", STATES)
async def test_a_snapshot_is_an_image_that_boots_and_the_guest_goes_on(
    hypervisor: Hypervisor, tmp_path: Path, state: str
) -> None:
    guest = await hypervisor.running()
    power = await bring(hypervisor, guest.server_id, state)
    boots = await hypervisor.boots(guest.server_id)
    path = tmp_path / "image.qcow2"

    await hypervisor.driver.snapshot(guest.server_id, path)

    seen = check("image", "qcow2", inspect_file(path))
    assert (seen.format, seen.virtual_size) == ("qcow2", GIB)
    assert await hypervisor.driver.power(guest.server_id) == power
    image = DiskImage(path=str(path), format="qcow2", size_bytes=path.stat().st_size)
    await hypervisor.running(disk=image, addresses=())
    if state == "saved":
        await hypervisor.driver.resume(guest.server_id)
    if state == "paused":
        await hypervisor.driver.unpause(guest.server_id)
    if state != "stopped":
        assert await hypervisor.driver.power(guest.server_id) == Power.RUNNING
        assert await hypervisor.boots(guest.server_id) == boots


async def test_a_second_snapshot_replaces_the_file_of_the_first(hypervisor: Hypervisor, tmp_path: Path) -> None:
    guest = await hypervisor.running()
    path = tmp_path / "image.qcow2"

    for _ in range(2):
        await hypervisor.driver.snapshot(guest.server_id, path)

    assert [file.name for file in tmp_path.glob("image*")] == ["image.qcow2"]
    assert not inspect_file(path).unsafe


async def test_a_snapshot_needs_a_guest(hypervisor: Hypervisor, tmp_path: Path) -> None:
    nobody = str(uuid.uuid4())

    with pytest.raises(GuestFailed) as failed:
        await hypervisor.driver.snapshot(nobody, tmp_path / "image.qcow2")

    assert (failed.value.operation, failed.value.server_id) == ("snapshot", nobody)
    assert list(tmp_path.glob("image*")) == []


@pytest.mark.parametrize("state", ["running", "stopped"])
async def test_a_snapshot_that_cannot_be_written_leaves_the_guest_as_it_was(
    hypervisor: Hypervisor, tmp_path: Path, state: str
) -> None:
    guest = await hypervisor.running()
    power = await bring(hypervisor, guest.server_id, state)

    with pytest.raises(GuestFailed) as failed:
        await hypervisor.driver.snapshot(guest.server_id, tmp_path / "no" / "such" / "image.qcow2")

    assert failed.value.operation == "snapshot"
    assert await hypervisor.driver.power(guest.server_id) == power
    await hypervisor.driver.snapshot(guest.server_id, tmp_path / "image.qcow2")


@pytest.mark.parametrize("state", ["running", "stopped"])
async def test_a_cancelled_snapshot_leaves_no_file_and_the_guest_as_it_was(
    hypervisor: Hypervisor, tmp_path: Path, state: str
) -> None:
    guest = await hypervisor.running()
    power = await bring(hypervisor, guest.server_id, state)
    path = tmp_path / "image.qcow2"
    working = asyncio.create_task(hypervisor.driver.snapshot(guest.server_id, path))
    await asyncio.sleep(0.03)  # somewhere in the middle, for the driver that takes its time

    was_in_time = working.cancel()
    await asyncio.wait([working])

    assert not (was_in_time and path.exists())
    assert await hypervisor.driver.power(guest.server_id) == power
    assert await hypervisor.boots(guest.server_id) == 1
    await hypervisor.driver.snapshot(guest.server_id, path)


async def test_the_end_of_the_guest_is_the_end_of_its_snapshot(hypervisor: Hypervisor, tmp_path: Path) -> None:
    guest = await hypervisor.running()
    path = tmp_path / "image.qcow2"
    working = asyncio.create_task(hypervisor.driver.snapshot(guest.server_id, path))
    await asyncio.sleep(0.03)  # somewhere in the middle, for the driver that takes its time

    await hypervisor.driver.destroy(guest.server_id)

    assert await hypervisor.driver.guests() == []
    try:
        await asyncio.wait_for(working, 30)
    except GuestFailed:
        assert list(tmp_path.glob("image*")) == []
    else:
        assert not inspect_file(path).unsafe


async def test_the_guest_can_be_switched_and_saved_after_a_snapshot(hypervisor: Hypervisor, tmp_path: Path) -> None:
    guest = await hypervisor.running()
    await hypervisor.driver.snapshot(guest.server_id, tmp_path / "image.qcow2")

    await hypervisor.driver.suspend(guest.server_id)
    await hypervisor.driver.resume(guest.server_id)
    await hypervisor.driver.reboot(guest.server_id, hard=True, timeout=0)

    await hypervisor.said(guest.server_id, times=2)
