"""A guest is told the ids that EC2's API has for it, whichever order made its config drive."""

import json
import re
from pathlib import Path

import pytest

from novaflow.db.ec2_ids import IMAGE, INSTANCE, Ec2Ids
from novaflow.models import Server
from novaflow.virt.driver import GuestSpec
from novaflow.virt.fake.driver import FakeDriver
from tests.support.actions import act
from tests.support.cloud import Cloud, cloud

NAMES = {"instance-id": "i", "ami-id": "ami", "kernel-id": "aki", "ramdisk-id": "ari"}


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch) -> list[GuestSpec]:
    """Every guest that is made."""
    seen: list[GuestSpec] = []
    spawn = FakeDriver.spawn

    async def noted(driver: FakeDriver, spec: GuestSpec) -> None:
        seen.append(spec)
        await spawn(driver, spec)

    monkeypatch.setattr(FakeDriver, "spawn", noted)
    return seen


def told(spec: GuestSpec) -> dict[str, str]:
    """The names on its config drive, where every version's file has the same bytes and is there once."""
    (found,) = re.findall(rb'\{"ami-id".*?\}(?=\0)', spec.config_drive)
    tree = json.loads(found)
    return {name: tree[name] for name in NAMES if name in tree}


async def of_api(world: Cloud, server: Server) -> dict[str, str]:
    """As a process that has never seen the server names it."""
    ids = Ec2Ids(world.database)
    images = await ids.numbers(IMAGE, [id_ for id_ in (server.image_id, server.kernel_id, server.ramdisk_id) if id_])
    resources = {"ami-id": server.image_id, "kernel-id": server.kernel_id, "ramdisk-id": server.ramdisk_id}
    numbers = {"instance-id": await ids.number(INSTANCE, server.id)}
    numbers |= {name: images[id_] for name, id_ in resources.items() if id_}
    return {name: f"{NAMES[name]}-{number:08x}" for name, number in numbers.items()}


async def test_a_config_drive_has_the_ids_of_the_api(tmp_path: Path, spawned: list[GuestSpec]) -> None:
    async with cloud(tmp_path) as world:
        world.images.add("kernel", b"\x7fELF kernel", disk_format="aki", container_format="aki")
        world.images.add("ramdisk", b"070701 ramdisk", disk_format="ari", container_format="ari")
        facts = {"disk_format": "ami", "container_format": "ami", "kernel_id": "kernel", "ramdisk_id": "ramdisk"}
        world.images.add("linux", bytes(4096), **facts)

        servers = await world.boot(count=2)
        servers += await world.boot(image_id="linux", kernel_id="kernel", ramdisk_id="ramdisk")

        by_id = {spec.server_id: told(spec) for spec in spawned}
        assert by_id == {server.id: await of_api(world, server) for server in servers}
        assert len({names["instance-id"] for names in by_id.values()}) == 3
        assert by_id[servers[-1].id].keys() == NAMES.keys()


async def test_a_rebuilt_guest_is_told_of_its_new_image(tmp_path: Path, spawned: list[GuestSpec]) -> None:
    async with cloud(tmp_path) as world:
        world.images.add("debian", bytes(8192), disk_format="raw")
        (server,) = await world.boot()

        rebuilt = await act(world, server, "rebuild", changes={"image_id": "debian"}, password="secret")

        first, second = (told(spec) for spec in spawned)
        assert second == await of_api(world, rebuilt)
        assert first["instance-id"] == second["instance-id"]
        assert first["ami-id"] != second["ami-id"]
