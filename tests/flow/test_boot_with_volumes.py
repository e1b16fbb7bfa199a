"""Servers that are made with volumes, through the whole cloud: there when the guest starts, gone or free when it ends, whatever dies between."""

from pathlib import Path
from typing import Any

import msgspec

from novaflow.config import Config
from novaflow.data_disks import NewDisk
from novaflow.db.ids import new_uuid
from novaflow.models import Server
from novaflow.states import Vm
from novaflow.virt.driver import StoredVolume
from novaflow.volumes import Status, Volume
from tests.support.actions import LONG
from tests.support.cloud import Cloud, cloud, settings
from tests.support.gates import Broken, Gate
from tests.support.volume_store import Store


def new(device: str = "vdc", **more: Any) -> NewDisk:
    fields: dict[str, Any] = {"volume_id": new_uuid(), "is_new": True, "device": device, "size_gb": 1}
    return NewDisk(**fields | more)


async def has(store: Store, server: Server, disk: NewDisk) -> Volume:
    """The volume, which the server's guest has by the records and on its host."""
    volume = await store.volumes.get(disk.volume_id)
    assert (volume.status, volume.server_id, volume.host) == (Status.IN_USE, server.id, server.host)
    noted = StoredVolume(volume_id=volume.id, server_id=server.id, device=disk.device)
    assert noted in await store.stored(server)
    return volume


async def nothing_is_left(world: Cloud) -> None:
    """No host has a file of a volume."""

    async def is_empty() -> bool:
        return not [one for driver in world.drivers.values() for one in await driver.volumes()]

    await world.until(is_empty)


def calm(**more: Any) -> Config:
    """Nobody is taken for dead, and no order for lost, because a test holds it up."""
    return settings(conductor=LONG, compute=msgspec.structs.replace(settings().compute, service_down_time=60.0, **more))


async def test_a_guest_starts_with_its_volumes_and_those_that_end_with_it_do(tmp_path: Path) -> None:
    async with cloud(tmp_path, calm()) as world:
        store, doomed, kept = Store(world), new(delete_on_termination=True), new("vdh")

        (server,) = await world.boot(disks=(doomed, kept))

        assert server.vm is Vm.ACTIVE
        for disk in (doomed, kept):
            await has(store, server, disk)
        assert world.hops("db")[-3:] == [
            "building/networking -> building/block_device_mapping",
            "building/block_device_mapping -> building/spawning",
            "building/spawning -> active/none",
        ]

        await world.order(server, "delete")
        deleted = await store.settled(await has_no_server(store, doomed))

        assert deleted.status is Status.DELETED
        assert (await store.volumes.get(kept.volume_id)).status is Status.AVAILABLE
        assert await store.stored(server) == [StoredVolume(volume_id=kept.volume_id)]


async def has_no_server(store: Store, disk: NewDisk) -> Volume:
    (volume,) = await store.volumes.on_host("", [disk.volume_id])
    assert volume.server_id is None
    return volume


async def test_a_server_goes_where_its_volumes_are_and_has_what_is_on_them(tmp_path: Path) -> None:
    async with cloud(tmp_path, calm()) as world:
        store, (first,) = Store(world), await world.boot()
        volume = await store.attach(first, await store.made())
        snapshot = await store.copied(volume, may_be_in_use=True)
        copy = new(snapshot_id=snapshot.id, host=snapshot.host)

        (second,) = await world.boot(disks=(copy,), force_host=snapshot.host)

        assert second.host == first.host
        await has(store, second, copy)
        home = tmp_path / str(first.host) / "volumes"
        notes = [(home / volume_id / "disk").read_bytes()[104:200] for volume_id in (volume.id, copy.volume_id)]
        assert notes[0] == notes[1]


async def test_a_build_that_fails_on_one_host_takes_its_volumes_to_the_next(tmp_path: Path) -> None:
    broken = Broken("spawn", times=1)
    async with cloud(tmp_path, calm(), before=broken) as world:
        store, disk = Store(world), new(delete_on_termination=True)

        (server,) = await world.boot(disks=(disk,))

        assert (server.vm, broken.failed != [server.host]) == (Vm.ACTIVE, True)
        await has(store, server, disk)
        assert await world.drivers[broken.failed[0]].volumes() == []


async def test_a_volume_that_cannot_be_made_is_told_in_the_servers_fault_and_nothing_is_left(tmp_path: Path) -> None:
    async with cloud(tmp_path, calm(), before=Broken("make_volume")) as world:
        store, doomed, free = Store(world), new(delete_on_termination=True), await store_made(world)

        (server,) = await world.boot(disks=(doomed, msgspec.structs.replace(new("vdd"), volume_id=free, is_new=False)))

        assert server.vm is Vm.ERROR
        (action,) = await world.servers.actions(server.id)
        assert "block device mapping failed" in f"{action.message} {server.fault}"
        assert (await has_no_server(store, doomed)).status is Status.DELETED
        assert (await store.volumes.get(free)).status is Status.AVAILABLE
        await nothing_is_left(world)


async def store_made(world: Cloud) -> str:
    return (await Store(world).made()).id


async def test_a_host_that_dies_while_it_builds_finishes_when_it_is_back(tmp_path: Path) -> None:
    for operation in ("make_volume", "spawn"):
        gate = Gate(operation)
        async with cloud(tmp_path / operation, calm(hosts=1), before=gate) as world:
            store, disk = Store(world), new(delete_on_termination=True)
            (server,) = await world.boot(disks=(disk,), settle=False)
            await gate.reached.wait()

            await world.processes["compute"].kill()
            await world.processes["compute"].start()
            built = await world.settled(server.id)

            assert built.vm is Vm.ACTIVE
            await has(store, built, disk)


async def test_a_server_that_is_deleted_while_it_is_built_leaves_no_volume(tmp_path: Path) -> None:
    for operation in ("make_volume", "spawn"):
        gate = Gate(operation)
        async with cloud(tmp_path / operation, calm(), before=gate) as world:
            store, disk = Store(world), new(delete_on_termination=True)
            (server,) = await world.boot(disks=(disk,), settle=False)
            await gate.reached.wait()

            await world.order(server, "delete", settle=False)
            gate.open()
            await world.settled(server.id)

            await nothing_is_left(world)
            assert (await has_no_server(store, disk)).status is Status.DELETED


async def test_what_an_interrupted_build_left_on_another_host_is_removed_by_the_audit(tmp_path: Path) -> None:
    async with cloud(tmp_path, calm()) as world:
        store, disk = Store(world), new()
        (server,) = await world.boot(disks=(disk,))
        other = next(driver for host, driver in world.drivers.items() if host != server.host)
        await other.make_volume(disk.volume_id, 1)

        await world.processes["compute"].stop()
        await world.processes["compute"].start()

        async def is_removed() -> bool:
            there = [host for host, driver in world.drivers.items() if await driver.volumes()]
            return there == [server.host]

        await world.until(is_removed)
        await has(store, server, disk)
