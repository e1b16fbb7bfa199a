"""Volumes on every driver. The guest is a boot sector: it has no system that could let go of a disk."""

import uuid

import msgspec
import pytest

from novaflow.errors import GuestFailed
from novaflow.states import Power
from novaflow.virt.driver import Driver, StoredVolume
from tests.support.hypervisors import Hypervisor

PATIENCE = 0.5  # seconds a guest is given to let go


def new_id() -> str:
    return str(uuid.uuid4())


async def a_volume(driver: Driver) -> str:
    volume_id = new_id()
    await driver.make_volume(volume_id, 1)
    return volume_id


async def test_a_volume_is_there_until_it_is_removed_and_may_be_made_and_removed_twice(hypervisor: Hypervisor) -> None:
    volume_id = new_id()

    for _ in range(2):
        await hypervisor.driver.make_volume(volume_id, 1)
    assert await hypervisor.driver.volumes() == [StoredVolume(volume_id=volume_id)]

    for _ in range(2):
        await hypervisor.driver.remove_volume(volume_id)
    assert await hypervisor.driver.volumes() == []


async def test_a_running_guest_gets_a_volume_and_keeps_it_over_every_start(hypervisor: Hypervisor) -> None:
    guest, volume_id = await hypervisor.running(), await a_volume(hypervisor.driver)
    mine = StoredVolume(volume_id=volume_id, server_id=guest.server_id, device="vdb")

    for _ in range(2):
        assert await hypervisor.driver.attach_volume(guest.server_id, volume_id, "vdb") == "vdb"
    assert await hypervisor.devices(guest.server_id) == {"vda", "vdb"}

    await hypervisor.driver.reboot(guest.server_id, hard=True, timeout=0)
    assert await hypervisor.devices(guest.server_id) == {"vda", "vdb"}
    await hypervisor.driver.power_off(guest.server_id, 0)
    await hypervisor.restart()
    await hypervisor.driver.power_on(guest.server_id)
    assert await hypervisor.devices(guest.server_id) == {"vda", "vdb"}
    assert await hypervisor.driver.volumes() == [mine]


async def test_a_guest_that_is_spawned_again_keeps_its_volumes(hypervisor: Hypervisor) -> None:
    guest, volume_id = await hypervisor.running(), await a_volume(hypervisor.driver)
    await hypervisor.driver.attach_volume(guest.server_id, volume_id, "vdc")

    await hypervisor.driver.spawn(guest)

    assert await hypervisor.devices(guest.server_id) == {"vda", "vdc"}


async def test_a_guest_may_be_spawned_with_volumes(hypervisor: Hypervisor) -> None:
    guest, driver = hypervisor.guest(), hypervisor.driver
    wanted = [
        StoredVolume(volume_id=await a_volume(driver), server_id=guest.server_id, device=name)
        for name in ("vdd", "vde")
    ]

    for _ in range(2):
        await driver.spawn(msgspec.structs.replace(guest, volumes=tuple(wanted)))

    assert await hypervisor.devices(guest.server_id) == {"vda", "vdd", "vde"}
    assert sorted(await driver.volumes(), key=lambda one: one.device) == wanted
    await driver.destroy(guest.server_id)
    assert {one.server_id for one in await driver.volumes()} == {""}


async def test_a_guest_that_cannot_have_all_its_volumes_is_not_spawned_and_has_none(hypervisor: Hypervisor) -> None:
    holder, guest, driver = await hypervisor.running(), hypervisor.guest(), hypervisor.driver
    mine, others = await a_volume(driver), await a_volume(driver)
    await driver.attach_volume(holder.server_id, others, "vdb")
    wanted = tuple(
        StoredVolume(volume_id=volume_id, server_id=guest.server_id, device=device)
        for volume_id, device in ((mine, "vdb"), (others, "vdc"))
    )

    with pytest.raises(GuestFailed, match=f"volume {others} is attached to server {holder.server_id}"):
        await driver.spawn(msgspec.structs.replace(guest, volumes=wanted))

    assert await driver.power(guest.server_id) is Power.NOSTATE
    noted = {one.volume_id: one.server_id for one in await driver.volumes()}
    assert noted == {mine: "", others: holder.server_id}


async def test_a_guest_that_is_off_gets_a_volume_and_gives_it_back(hypervisor: Hypervisor) -> None:
    guest, volume_id = await hypervisor.running(), await a_volume(hypervisor.driver)
    await hypervisor.driver.power_off(guest.server_id, 0)

    assert await hypervisor.driver.attach_volume(guest.server_id, volume_id, "vda") == "vdb"
    await hypervisor.driver.power_on(guest.server_id)
    assert await hypervisor.devices(guest.server_id) == {"vda", "vdb"}
    await hypervisor.driver.power_off(guest.server_id, 0)
    for _ in range(2):
        await hypervisor.driver.detach_volume(guest.server_id, volume_id, PATIENCE)
    await hypervisor.driver.power_on(guest.server_id)

    assert await hypervisor.devices(guest.server_id) == {"vda"}
    assert await hypervisor.driver.volumes() == [StoredVolume(volume_id=volume_id)]


async def test_a_running_guest_that_does_not_let_go_keeps_the_volume(hypervisor: Hypervisor) -> None:
    guest, volume_id = await hypervisor.running(), await a_volume(hypervisor.driver)
    await hypervisor.driver.attach_volume(guest.server_id, volume_id, "vdb")

    with pytest.raises(GuestFailed, match="has not let the disk go"):
        await hypervisor.driver.detach_volume(guest.server_id, volume_id, PATIENCE)

    assert (await hypervisor.driver.volumes())[0].server_id == guest.server_id
    await hypervisor.driver.power_off(guest.server_id, 0)
    await hypervisor.driver.power_on(guest.server_id)
    assert await hypervisor.devices(guest.server_id) == {"vda", "vdb"}


async def test_no_volume_is_two_guests(hypervisor: Hypervisor) -> None:
    first, second = await hypervisor.running(), await hypervisor.running()
    volume_id = await a_volume(hypervisor.driver)
    await hypervisor.driver.attach_volume(first.server_id, volume_id, "vdb")

    with pytest.raises(GuestFailed, match=f"is attached to server {first.server_id}"):
        await hypervisor.driver.attach_volume(second.server_id, volume_id, "vdb")
    with pytest.raises(GuestFailed, match=f"is attached to server {first.server_id}"):
        await hypervisor.driver.remove_volume(volume_id)
    await hypervisor.driver.detach_volume(second.server_id, volume_id, PATIENCE)

    assert await hypervisor.devices(second.server_id) == {"vda"}
    assert (await hypervisor.driver.volumes())[0].server_id == first.server_id


async def test_volumes_outlive_the_guest(hypervisor: Hypervisor) -> None:
    guest, volume_id = await hypervisor.running(), await a_volume(hypervisor.driver)
    await hypervisor.driver.attach_volume(guest.server_id, volume_id, "vdb")

    await hypervisor.driver.destroy(guest.server_id)

    assert await hypervisor.driver.volumes() == [StoredVolume(volume_id=volume_id)]
    assert await hypervisor.driver.leftovers() == []
    second = await hypervisor.running()
    assert await hypervisor.driver.attach_volume(second.server_id, volume_id, "vdb") == "vdb"


async def test_what_is_not_there_is_not_attached(hypervisor: Hypervisor) -> None:
    guest, volume_id = await hypervisor.running(), await a_volume(hypervisor.driver)

    with pytest.raises(GuestFailed, match="there is no volume"):
        await hypervisor.driver.attach_volume(guest.server_id, new_id(), "vdb")
    with pytest.raises(GuestFailed, match="there is no such guest"):
        await hypervisor.driver.attach_volume(new_id(), volume_id, "vdb")

    assert await hypervisor.driver.volumes() == [StoredVolume(volume_id=volume_id)]


@pytest.mark.parametrize("power", [Power.NOSTATE, Power.SHUTDOWN, Power.RUNNING], ids=["free", "off", "running"])
async def test_a_snapshot_of_a_volume_is_another_volume_in_time(hypervisor: Hypervisor, power: Power) -> None:
    volume_id, snapshot_id, copy_id = await a_volume(hypervisor.driver), new_id(), new_id()
    if power is not Power.NOSTATE:
        guest = await hypervisor.running()
        await hypervisor.driver.attach_volume(guest.server_id, volume_id, "vdb")
        if power is Power.SHUTDOWN:
            await hypervisor.driver.power_off(guest.server_id, 0)

    for _ in range(2):
        await hypervisor.driver.snapshot_volume(volume_id, snapshot_id)
    assert await hypervisor.driver.volume_snapshots() == [snapshot_id]
    await hypervisor.driver.make_volume(copy_id, 2, snapshot_id)
    for _ in range(2):
        await hypervisor.driver.remove_volume_snapshot(snapshot_id)

    assert await hypervisor.driver.volume_snapshots() == []
    assert {volume.volume_id for volume in await hypervisor.driver.volumes()} == {volume_id, copy_id}


async def test_what_is_not_there_gives_no_snapshot_and_no_volume(hypervisor: Hypervisor) -> None:
    with pytest.raises(GuestFailed):
        await hypervisor.driver.snapshot_volume(new_id(), new_id())
    with pytest.raises(GuestFailed):
        await hypervisor.driver.make_volume(new_id(), 1, new_id())

    assert await hypervisor.driver.volume_snapshots() == []
