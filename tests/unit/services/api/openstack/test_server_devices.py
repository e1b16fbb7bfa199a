"""Servers that are asked for with volumes, in both of Nova's ways of writing it."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from novaflow.config import Config
from novaflow.quotas import QuotaLimits
from tests.support.server_world import HOST, IMAGE, OTHER_HOST, World, server_world
from tests.support.volumes import carry_out

UNKNOWN = "99999999-9999-4999-8999-999999999999"
ROOT = {"source_type": "image", "uuid": IMAGE, "destination_type": "local", "boot_index": 0}
BLANK = {"source_type": "blank", "destination_type": "volume", "volume_size": 1}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with server_world(tmp_path, Config(quota=QuotaLimits(volumes=3))) as world:
        yield world


async def volume(world: World, **more: Any) -> str:
    """The id of a volume of Alice's."""
    asked = {"volume": {"size": 1, **more}}
    return str((await world.api.ask("POST", "/os-volumes", asked, who="alice")).body["volume"]["id"])


async def kept_on_host(world: World) -> str:
    """The id of one whose file is on HOST, because a server there has had it."""
    volume_id, server_id = await volume(world), await world.active()
    path = f"/servers/{server_id}/os-volume_attachments"
    await world.api.ask("POST", path, {"volumeAttachment": {"volumeId": volume_id}}, who="alice")
    await carry_out(world)
    await world.api.ask("DELETE", f"{path}/{volume_id}", who="alice")
    await carry_out(world)
    return volume_id


async def volumes(world: World) -> dict[str, dict[str, Any]]:
    """All of Alice's, by id."""
    return {one["id"]: one for one in (await world.api.get("/os-volumes", who="alice"))["volumes"]}


async def test_a_server_gets_new_volumes_and_ones_that_are_there(world: World) -> None:
    given = await volume(world)
    devices = [
        ROOT,
        {**BLANK, "volume_size": 2, "delete_on_termination": True, "boot_index": -1},
        {"source_type": "volume", "destination_type": "volume", "uuid": given, "device_name": "/dev/vdh"},
    ]

    server_id = await world.active(block_device_mapping_v2=devices)

    attached = await world.api.get(f"/servers/{server_id}/os-volume_attachments", who="alice")
    by_device = {one["device"]: one["volumeId"] for one in attached["volumeAttachments"]}
    assert by_device.keys() == {"/dev/vdc", "/dev/vdh"}
    assert by_device["/dev/vdh"] == given
    found = await volumes(world)
    assert found[by_device["/dev/vdc"]]["size"] == 2
    assert {one["status"] for one in found.values()} == {"in-use"}


async def test_while_a_server_is_built_its_volumes_are_nobody_elses(world: World) -> None:
    given = await volume(world)
    device = {"source_type": "volume", "destination_type": "volume", "uuid": given}

    server_id = await world.created(block_device_mapping_v2=[ROOT, device])

    assert (await volumes(world))[given]["status"] == "reserved"
    again = await world.create(block_device_mapping_v2=[ROOT, device])
    assert (again.status, again.message) == (
        HTTPStatus.BAD_REQUEST,
        f"Invalid volume: volume '{given}' status must be 'available'. Currently in 'reserved' status.",
    )
    assert (await world.api.ask("DELETE", f"/os-volumes/{given}", who="alice")).status == HTTPStatus.BAD_REQUEST
    await world.api.ask("DELETE", f"/servers/{server_id}", who="alice")
    assert (await volumes(world))[given]["status"] == "available"


async def test_a_server_goes_to_the_host_that_keeps_its_volume(world: World) -> None:
    given = await kept_on_host(world)

    server_id = await world.created(block_device_mapping=[{"volume_id": given, "device_name": "vdd"}])

    assert (await world.servers.spec(server_id)).force_host == HOST
    zone = f"nova:{OTHER_HOST}"
    refused = await world.create(who="admin", availability_zone=zone, block_device_mapping=[{"volume_id": given}])
    assert refused.status == HTTPStatus.BAD_REQUEST


async def test_each_of_several_servers_has_new_volumes_of_its_own(world: World) -> None:
    reply = await world.create(min_count=2, max_count=2, block_device_mapping_v2=[ROOT, BLANK])

    assert reply.status == HTTPStatus.ACCEPTED
    found = (await volumes(world)).values()
    assert len({one["attachments"][0]["serverId"] for one in found}) == len(found) == 2


async def test_as_many_servers_are_made_as_there_may_be_volumes(world: World) -> None:
    reply = await world.create(min_count=1, max_count=9, block_device_mapping_v2=[ROOT, BLANK])

    assert reply.status == HTTPStatus.ACCEPTED
    assert len(await volumes(world)) == len((await world.api.get("/servers", who="alice"))["servers"]) == 3
    over = await world.create(block_device_mapping_v2=[ROOT, BLANK])
    assert over.status == HTTPStatus.FORBIDDEN
    assert len((await world.api.get("/servers", who="alice"))["servers"]) == 3


V = {"source_type": "volume", "destination_type": "volume", "uuid": UNKNOWN}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"block_device_mapping_v2": [BLANK]}, "Boot sequence for the instance"),
        (
            {"block_device_mapping_v2": [ROOT, {**BLANK, "boot_index": 0}]},
            "only the server's own image at boot index 0",
        ),
        ({"block_device_mapping_v2": [ROOT, {**BLANK, "destination_type": "local"}]}, "those of the flavor"),
        ({"block_device_mapping_v2": [ROOT, {**BLANK, "volume_size": 0}]}, "need to have non-zero size"),
        ({"block_device_mapping_v2": [ROOT, {**BLANK, "uuid": UNKNOWN}]}, "Invalid device UUID."),
        ({"block_device_mapping_v2": [ROOT, {**BLANK, "disk_bus": "ide"}]}, "a volume is a virtio disk here"),
        (
            {"block_device_mapping_v2": [ROOT, {**BLANK, "device_name": "/dev/vda"}]},
            "device path (/dev/vda) is invalid",
        ),
        (
            {"block_device_mapping_v2": [ROOT, {**BLANK, "device_name": "vdf"}, {**BLANK, "device_name": "vdf"}]},
            "device path (/dev/vdf) is in use",
        ),
        ({"block_device_mapping_v2": [ROOT, V]}, f"failed to get volume {UNKNOWN}."),
        ({"block_device_mapping_v2": [ROOT, {**V, "source_type": "snapshot"}]}, f"failed to get snapshot {UNKNOWN}."),
        ({"block_device_mapping_v2": [ROOT, {**V, "uuid": ""}]}, ""),
        ({"block_device_mapping_v2": [ROOT, V], "max_count": 2}, "Cannot attach one or more volumes"),
        ({"block_device_mapping": [{"volume_id": UNKNOWN}]}, f"failed to get volume {UNKNOWN}."),
        ({"block_device_mapping": [{"volume_id": UNKNOWN, "device_name": "vda"}]}, "only the server's own image"),
        ({"block_device_mapping": [{"virtual_name": "ephemeral0"}]}, "either a volume or made of a snapshot"),
        ({"block_device_mapping": [{"volume_id": UNKNOWN}], "block_device_mapping_v2": [ROOT]}, "different"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_devices_that_cannot_be_are_a_400_and_nothing_is_made(
    world: World, fields: dict[str, Any], said: str
) -> None:
    reply = await world.create(**fields)

    assert reply.status == HTTPStatus.BAD_REQUEST
    assert said in reply.message
    assert await volumes(world) == {}
    assert (await world.api.get("/servers", who="alice"))["servers"] == []


async def test_a_device_that_shall_not_be_is_none(world: World) -> None:
    server_id = await world.created(block_device_mapping=[{"device_name": "vdb", "no_device": True}])

    assert (await world.api.get(f"/servers/{server_id}/os-volume_attachments", who="alice")) == {
        "volumeAttachments": []
    }


async def test_others_have_no_part_in_it(world: World) -> None:
    bobs = (await world.api.ask("POST", "/os-volumes", {"volume": {"size": 1}}, who="bob")).body["volume"]["id"]

    refused = await world.create(block_device_mapping=[{"volume_id": bobs}])

    assert (refused.status, refused.message) == (
        HTTPStatus.BAD_REQUEST,
        f"Block Device Mapping is Invalid: failed to get volume {bobs}.",
    )
