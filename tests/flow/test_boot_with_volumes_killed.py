"""Servers with volumes while somebody is killed: what they are made with is theirs once, on one host, and ends with them."""

from pathlib import Path

import pytest

from novaflow.data_disks import NewDisk
from novaflow.db.ids import new_uuid
from novaflow.states import Vm
from novaflow.virt.driver import StoredVolume
from novaflow.volumes import Status
from tests.support.cloud import Cloud, cloud
from tests.support.moves import killed, once
from tests.support.volume_store import Store

BUILDING = [
    "cast scheduler.build_instances",
    "claim room on the host",
    "building/scheduling -> building/none",
    "building/networking -> building/block_device_mapping",
    "building/block_device_mapping -> building/spawning",
    "define and start domain",
    "building/spawning -> active/none",
]
ENDING = ["active/deleting -> deleted/none", "volume deleting", "call conductor.report_volume"]


def disk() -> NewDisk:
    return NewDisk(volume_id=new_uuid(), is_new=True, device="vdc", size_gb=1, delete_on_termination=True)


async def files(world: Cloud) -> dict[str, list[StoredVolume]]:
    """What every host that keeps any volume has."""
    found = {host: await driver.volumes() for host, driver in world.drivers.items()}
    return {host: volumes for host, volumes in found.items() if volumes}


@pytest.mark.parametrize("victim", ["scheduler", "conductor", "compute"])
@pytest.mark.parametrize("moment", BUILDING)
async def test_a_server_that_is_built_while_somebody_is_killed_has_its_volume(
    tmp_path: Path, moment: str, victim: str
) -> None:
    async with cloud(tmp_path) as world:
        store, wanted = Store(world), disk()
        with once(world, moment, lambda: killed(world, victim)) as struck:
            (server,) = await world.boot(disks=(wanted,), settle=False)
            await struck.wait()
        built = await world.settled(server.id)
        await world.quiet()

        volume = await store.volumes.get(wanted.volume_id)
        assert (built.vm, built.fault) == (Vm.ACTIVE, None)
        assert (volume.status, volume.server_id, volume.host) == (Status.IN_USE, server.id, built.host)
        noted = StoredVolume(volume_id=volume.id, server_id=server.id, device="vdc")
        assert await files(world) == {str(built.host): [noted]}


@pytest.mark.parametrize("victim", ["conductor", "compute"])
@pytest.mark.parametrize("moment", ENDING)
async def test_a_volume_ends_with_its_server_whoever_is_killed(tmp_path: Path, moment: str, victim: str) -> None:
    async with cloud(tmp_path) as world:
        store, wanted = Store(world), disk()
        (server,) = await world.boot(disks=(wanted,))
        with once(world, moment, lambda: killed(world, victim)) as struck:
            await world.order(server, "delete")
            await struck.wait()

        async def is_gone() -> bool:
            (volume,) = await store.volumes.on_host("", [wanted.volume_id])
            return volume.status is Status.DELETED and await files(world) == {}

        await world.until(is_gone)
        assert (await store.volumes.on_host("", [wanted.volume_id]))[0].fault == ""
