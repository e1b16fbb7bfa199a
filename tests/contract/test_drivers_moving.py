"""Guests that are off and move: taken aside, made again on this host or another, and had back."""

import asyncio
import uuid
from pathlib import Path

import pytest

from novaflow.errors import GuestFailed
from novaflow.models import Flavor
from novaflow.states import Power
from novaflow.virt.driver import Driver, GuestFile, GuestSpec, GuestState
from tests.support.guests import SMALL, console_has
from tests.support.hypervisors import Hypervisor

GIB = 2**30
LARGER = Flavor(id="2", name="m1.larger", vcpus=2, ram_mb=96, disk_gb=2)
SMALLER = Flavor(id="0", name="m1.smaller", vcpus=1, ram_mb=48, disk_gb=0)


async def parked(hypervisor: Hypervisor, **changes: object) -> GuestSpec:
    """A guest that ran and is aside."""
    guest = await hypervisor.running(**changes)
    await hypervisor.driver.power_off(guest.server_id, 0)
    await hypervisor.driver.park(guest.server_id)
    return guest


def of_flavor(hypervisor: Hypervisor, guest: GuestSpec, flavor: Flavor) -> GuestSpec:
    """The same guest as another host is asked for it."""
    return hypervisor.guest(server_id=guest.server_id, flavor=flavor, addresses=guest.addresses)


async def carried(driver: Driver, server_id: str, home: Path) -> list[GuestFile]:
    """The files as another host has them: copies of its own."""
    home.mkdir()
    files = []
    for file in await driver.parked_files(server_id):
        assert Path(file.name).name == file.name
        (home / file.name).write_bytes(Path(file.path).read_bytes())
        files.append(GuestFile(name=file.name, path=str(home / file.name)))
    return files


async def speaks(driver: Driver, hypervisor: Hypervisor, server_id: str, times: int) -> None:
    await console_has(driver, server_id, hypervisor.says, times=times, seconds=30)


async def test_a_parked_guest_is_none_until_it_is_had_back(hypervisor: Hypervisor) -> None:
    guest = await parked(hypervisor)
    await hypervisor.driver.park(guest.server_id)

    assert await hypervisor.driver.parked() == [guest.server_id]
    assert await hypervisor.driver.guests() == []
    assert await hypervisor.driver.power(guest.server_id) == Power.NOSTATE
    with pytest.raises(GuestFailed):
        await hypervisor.driver.power_on(guest.server_id)
    for _ in range(2):
        await hypervisor.driver.unpark(guest.server_id, is_running=True)
        assert await hypervisor.driver.guests() == [GuestState(server_id=guest.server_id, power=Power.RUNNING)]
        assert await hypervisor.driver.parked() == []
    await hypervisor.said(guest.server_id, times=2)


async def test_a_parked_guest_can_be_had_back_without_being_started(hypervisor: Hypervisor) -> None:
    guest = await parked(hypervisor)

    await hypervisor.driver.unpark(guest.server_id, is_running=False)

    assert await hypervisor.driver.guests() == [GuestState(server_id=guest.server_id, power=Power.SHUTDOWN)]
    assert await hypervisor.boots(guest.server_id) == 1
    await hypervisor.driver.power_on(guest.server_id)
    await hypervisor.said(guest.server_id, times=2)


@pytest.mark.parametrize("state", ["running", "paused", "saved"])
async def test_a_guest_that_could_go_on_cannot_be_parked(hypervisor: Hypervisor, state: str) -> None:
    guest = await hypervisor.running()
    if state == "paused":
        await hypervisor.driver.pause(guest.server_id)
    if state == "saved":
        await hypervisor.driver.suspend(guest.server_id)
    power = await hypervisor.driver.power(guest.server_id)

    with pytest.raises(GuestFailed) as failed:
        await hypervisor.driver.park(guest.server_id)

    assert (failed.value.operation, failed.value.server_id) == ("park", guest.server_id)
    assert await hypervisor.driver.power(guest.server_id) == power
    assert await hypervisor.driver.parked() == []


async def test_what_never_was_can_only_be_forgotten(hypervisor: Hypervisor) -> None:
    nobody = str(uuid.uuid4())

    for operation, asked in (
        ("park", hypervisor.driver.park(nobody)),
        ("unpark", hypervisor.driver.unpark(nobody, is_running=True)),
        ("parked_files", hypervisor.driver.parked_files(nobody)),
    ):
        with pytest.raises(GuestFailed) as failed:
            await asked
        assert (failed.value.operation, failed.value.server_id) == (operation, nobody)
    await hypervisor.driver.forget_parked(nobody)

    assert await hypervisor.driver.guests() == []
    assert await hypervisor.driver.parked() == []


async def test_only_a_parked_guest_has_files_for_others(hypervisor: Hypervisor) -> None:
    guest = await hypervisor.running()

    with pytest.raises(GuestFailed):
        await hypervisor.driver.parked_files(guest.server_id)

    assert await hypervisor.driver.power(guest.server_id) == Power.RUNNING


async def test_a_forgotten_guest_is_gone_and_may_be_forgotten_again(hypervisor: Hypervisor) -> None:
    guest = await parked(hypervisor)

    for _ in range(2):
        await hypervisor.driver.forget_parked(guest.server_id)
        assert await hypervisor.driver.parked() == []

    with pytest.raises(GuestFailed):
        await hypervisor.driver.unpark(guest.server_id, is_running=True)


async def test_a_guest_that_is_not_parked_is_not_forgotten(hypervisor: Hypervisor) -> None:
    guest = await hypervisor.running()

    await hypervisor.driver.forget_parked(guest.server_id)

    assert await hypervisor.driver.power(guest.server_id) == Power.RUNNING


async def test_destroying_removes_the_parked_guest_too(hypervisor: Hypervisor) -> None:
    guest = await parked(hypervisor)

    await hypervisor.driver.destroy(guest.server_id)

    assert await hypervisor.driver.parked() == []
    assert await hypervisor.driver.guests() == []


async def test_parked_guests_outlive_the_driver(hypervisor: Hypervisor) -> None:
    guest = await parked(hypervisor)

    await hypervisor.restart()

    assert await hypervisor.driver.parked() == [guest.server_id]
    assert await hypervisor.driver.guests() == []
    await hypervisor.driver.unpark(guest.server_id, is_running=True)
    await hypervisor.said(guest.server_id, times=2)


async def test_another_host_knows_nothing_of_a_parked_guest(hypervisor: Hypervisor) -> None:
    guest = await parked(hypervisor)

    async with hypervisor.neighbour() as other:
        assert await other.parked() == []
        await other.forget_parked(guest.server_id)
        await other.destroy(guest.server_id)

    assert await hypervisor.driver.parked() == [guest.server_id]


@pytest.mark.parametrize("is_running", [True, False], ids=["running", "off"])
async def test_another_host_makes_the_guest_from_its_files(
    hypervisor: Hypervisor, tmp_path: Path, is_running: bool
) -> None:
    guest = await parked(hypervisor)
    files = await carried(hypervisor.driver, guest.server_id, tmp_path / "carried")

    async with hypervisor.neighbour() as other:
        await other.adopt(of_flavor(hypervisor, guest, SMALL), files, is_running=is_running)

        power = Power.RUNNING if is_running else Power.SHUTDOWN
        assert await other.guests() == [GuestState(server_id=guest.server_id, power=power)]
        assert not any(Path(file.path).exists() for file in files)  # they are taken
        if not is_running:
            await other.power_on(guest.server_id)
        await speaks(other, hypervisor, guest.server_id, 2)  # what it said before came with it
        assert await hypervisor.driver.parked() == [guest.server_id]
        assert await hypervisor.driver.power(guest.server_id) == Power.NOSTATE


async def test_a_move_that_is_undone_leaves_the_guest_where_and_as_it_was(
    hypervisor: Hypervisor, tmp_path: Path
) -> None:
    guest = await parked(hypervisor)
    async with hypervisor.neighbour() as other:
        files = await carried(hypervisor.driver, guest.server_id, tmp_path / "carried")
        await other.adopt(of_flavor(hypervisor, guest, LARGER), files, is_running=True)
        await other.destroy(guest.server_id)

    await hypervisor.driver.unpark(guest.server_id, is_running=True)

    await hypervisor.said(guest.server_id, times=2)
    assert await hypervisor.driver.disk_sizes(guest.server_id) == {"disk": GIB}


async def test_a_guest_is_resized_in_its_place_and_had_back(hypervisor: Hypervisor) -> None:
    guest = await parked(hypervisor)
    files = await hypervisor.driver.parked_files(guest.server_id)

    await hypervisor.driver.adopt(of_flavor(hypervisor, guest, LARGER), files, is_running=True)

    assert await hypervisor.driver.guests() == [GuestState(server_id=guest.server_id, power=Power.RUNNING)]
    assert await hypervisor.driver.parked() == [guest.server_id]
    assert await hypervisor.driver.disk_sizes(guest.server_id) == {"disk": 2 * GIB}
    assert (await hypervisor.driver.diagnostics(guest.server_id)).vcpus == 2
    await hypervisor.said(guest.server_id, times=2)
    await hypervisor.driver.unpark(guest.server_id, is_running=True)
    assert await hypervisor.driver.guests() == [GuestState(server_id=guest.server_id, power=Power.RUNNING)]
    assert await hypervisor.driver.parked() == []
    assert await hypervisor.driver.disk_sizes(guest.server_id) == {"disk": GIB}
    assert (await hypervisor.driver.diagnostics(guest.server_id)).vcpus == 1
    await hypervisor.said(guest.server_id, times=2)


async def test_while_a_guest_is_parked_another_of_its_id_is_not_put_over_it(hypervisor: Hypervisor) -> None:
    guest = await parked(hypervisor)
    files = await hypervisor.driver.parked_files(guest.server_id)
    await hypervisor.driver.adopt(of_flavor(hypervisor, guest, LARGER), files, is_running=False)

    await hypervisor.driver.park(guest.server_id)

    assert await hypervisor.driver.guests() == [GuestState(server_id=guest.server_id, power=Power.SHUTDOWN)]
    await hypervisor.driver.unpark(guest.server_id, is_running=False)
    assert await hypervisor.driver.disk_sizes(guest.server_id) == {"disk": GIB}


async def test_a_resize_that_is_confirmed_leaves_only_the_resized_guest(hypervisor: Hypervisor) -> None:
    guest = await parked(hypervisor)
    files = await hypervisor.driver.parked_files(guest.server_id)
    await hypervisor.driver.adopt(of_flavor(hypervisor, guest, LARGER), files, is_running=True)
    await hypervisor.said(guest.server_id, times=2)

    await hypervisor.driver.forget_parked(guest.server_id)

    assert await hypervisor.driver.parked() == []
    assert await hypervisor.driver.guests() == [GuestState(server_id=guest.server_id, power=Power.RUNNING)]
    await hypervisor.driver.reboot(guest.server_id, hard=True, timeout=0)
    await hypervisor.said(guest.server_id, times=3)


async def test_a_disk_never_shrinks(hypervisor: Hypervisor, tmp_path: Path) -> None:
    guest = await parked(hypervisor, flavor=LARGER)
    files = await carried(hypervisor.driver, guest.server_id, tmp_path / "carried")

    async with hypervisor.neighbour() as other:
        await other.adopt(of_flavor(hypervisor, guest, SMALLER), files, is_running=True)

        assert await other.disk_sizes(guest.server_id) == {"disk": 2 * GIB}
        await speaks(other, hypervisor, guest.server_id, 2)


async def test_ephemeral_and_swap_disks_are_as_the_flavor_has_them(hypervisor: Hypervisor, tmp_path: Path) -> None:
    rich = Flavor(id="7", name="m1.rich", vcpus=1, ram_mb=64, disk_gb=1, ephemeral_gb=1, swap_mb=64)
    richer = Flavor(id="8", name="m1.richer", vcpus=1, ram_mb=64, disk_gb=1, ephemeral_gb=2, swap_mb=32)
    guest = await parked(hypervisor, flavor=rich)
    files = await carried(hypervisor.driver, guest.server_id, tmp_path / "carried")

    async with hypervisor.neighbour() as other:
        await other.adopt(of_flavor(hypervisor, guest, richer), files, is_running=False)
        grown = await other.disk_sizes(guest.server_id)
    await hypervisor.driver.unpark(guest.server_id, is_running=False)

    assert {"disk", "ephemeral"} <= {file.name for file in files}
    assert await hypervisor.driver.disk_sizes(guest.server_id) == {"disk": GIB, "ephemeral": GIB, "swap": 64 * 2**20}
    assert grown == {"disk": GIB, "ephemeral": 2 * GIB, "swap": 32 * 2**20}


async def test_adopting_again_replaces_what_was_adopted(hypervisor: Hypervisor, tmp_path: Path) -> None:
    guest = await parked(hypervisor)

    async with hypervisor.neighbour() as other:
        for home in ("first", "second"):
            files = await carried(hypervisor.driver, guest.server_id, tmp_path / home)
            await other.adopt(of_flavor(hypervisor, guest, LARGER), files, is_running=True)

        assert await other.guests() == [GuestState(server_id=guest.server_id, power=Power.RUNNING)]
        await speaks(other, hypervisor, guest.server_id, 2)


@pytest.mark.parametrize("case", ["a file is missing", "no disk", "not qcow2", "backed by another file", "bad id"])
async def test_files_that_make_no_guest_are_refused_and_leave_nothing(
    hypervisor: Hypervisor, tmp_path: Path, case: str
) -> None:
    guest = await parked(hypervisor)
    files = await carried(hypervisor.driver, guest.server_id, tmp_path / "carried")
    disk = Path(next(file.path for file in files if file.name == "disk"))
    wanted = of_flavor(hypervisor, guest, SMALL)
    if case == "a file is missing":
        disk.unlink()
    elif case == "no disk":
        files = [file for file in files if file.name != "disk"]
    elif case == "not qcow2":
        disk.write_bytes(bytes(4096))
    elif case == "backed by another file":
        disk.write_bytes(BACKED.ljust(512, b"\0"))
    else:
        wanted = hypervisor.guest(server_id="../../etc")

    async with hypervisor.neighbour() as other:
        with pytest.raises(GuestFailed) as failed:
            await other.adopt(wanted, files, is_running=True)

        assert (failed.value.operation, failed.value.server_id) == ("adopt", wanted.server_id)
        assert await other.guests() == []
    assert await hypervisor.driver.parked() == [guest.server_id]


BACKED = b"QFI\xfb" + (2).to_bytes(4, "big") + (4096).to_bytes(8, "big") + bytes(8) + (2**20).to_bytes(8, "big")


async def test_a_cancelled_adoption_leaves_nothing(hypervisor: Hypervisor, tmp_path: Path) -> None:
    guest = await parked(hypervisor)
    files = await carried(hypervisor.driver, guest.server_id, tmp_path / "carried")

    async with hypervisor.neighbour() as other:
        adopting = asyncio.create_task(other.adopt(of_flavor(hypervisor, guest, SMALL), files, is_running=True))
        await asyncio.sleep(0.05)  # somewhere in the middle, for the driver that takes its time
        if not adopting.cancel():
            await other.destroy(guest.server_id)
        await asyncio.wait([adopting])

        assert await other.guests() == []

    await hypervisor.driver.unpark(guest.server_id, is_running=True)
    await hypervisor.said(guest.server_id, times=2)
