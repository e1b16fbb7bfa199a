"""os-volumes, os-snapshots and os-volume_attachments as Icehouse's clients know them."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from novaflow.config import Config
from novaflow.quotas import QuotaLimits
from novaflow.states import ACTIVE, RESCUED
from tests.support.compute_api import Reply
from tests.support.server_world import HOST, OTHER_HOST, World, server_world
from tests.support.volumes import carry_out

NOBODYS = "99999999-9999-4999-8999-999999999999"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with server_world(tmp_path, Config(quota=QuotaLimits(volumes=3, snapshots=1))) as world:
        yield world


async def make(world: World, who: str = "alice", **fields: Any) -> Reply:
    return await world.api.ask("POST", "/os-volumes", {"volume": {"size": 1, **fields}}, who=who)


async def made(world: World, **fields: Any) -> str:
    reply = await make(world, **fields)
    assert reply.status == HTTPStatus.OK, reply.body
    volume_id: str = reply.body["volume"]["id"]
    return volume_id


async def attach(world: World, server_id: str, volume_id: str, **more: Any) -> Reply:
    body = {"volumeAttachment": {"volumeId": volume_id, **more}}
    return await world.api.ask("POST", f"/servers/{server_id}/os-volume_attachments", body, who="alice")


async def attached(world: World, server_id: str) -> str:
    volume_id = await made(world)
    assert (await attach(world, server_id, volume_id)).status == HTTPStatus.OK
    assert await carry_out(world) == "attach_volume"
    return volume_id


async def shown(world: World, volume_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await world.api.get(f"/os-volumes/{volume_id}", who="alice"))["volume"]
    return found


async def test_a_volume_is_made_shown_listed_and_deleted(world: World) -> None:
    reply = await make(world, display_name="data", display_description="mine", metadata={"a": "b"}, volume_type="x")

    volume = reply.body["volume"]
    assert reply.headers["Location"].endswith(f"/os-volumes/{volume['id']}")
    created = volume.pop("createdAt")
    assert volume == {
        "id": volume["id"],
        "status": "available",
        "size": 1,
        "availabilityZone": "nova",
        "attachments": [{}],
        "displayName": "data",
        "displayDescription": "mine",
        "volumeType": None,
        "snapshotId": None,
        "metadata": {"a": "b"},
    }
    for path in ("/os-volumes", "/os-volumes/detail"):
        assert (await world.api.get(path, who="alice"))["volumes"] == [{**volume, "createdAt": created}]
        assert (await world.api.get(path, who="bob"))["volumes"] == []
    assert (await world.api.ask("DELETE", f"/os-volumes/{volume['id']}", who="bob")).status == HTTPStatus.NOT_FOUND
    assert (await world.api.ask("DELETE", f"/os-volumes/{volume['id']}", who="alice")).status == HTTPStatus.ACCEPTED
    gone = await world.api.ask("GET", f"/os-volumes/{volume['id']}", who="alice")
    assert (gone.status, gone.message) == (HTTPStatus.NOT_FOUND, f"Volume {volume['id']} could not be found.")


@pytest.mark.parametrize(
    "fields", [{"size": 0}, {"size": "x"}, {"size": 2**21}, {"size": None}, {"metadata": {"a": 1}}, {"colour": "red"}]
)
async def test_a_volume_that_cannot_be_is_refused(world: World, fields: dict[str, Any]) -> None:
    assert (await make(world, **fields)).status == HTTPStatus.BAD_REQUEST


async def test_there_are_no_more_volumes_than_the_quota_has(world: World) -> None:
    for _ in range(3):
        await made(world)

    refused = await make(world)

    assert (refused.status, refused.message.split(":")[0]) == (HTTPStatus.FORBIDDEN, "Quota exceeded for volumes")
    forced = {"quota_set": {"volumes": 4}}
    path = "/os-quota-sets/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    assert (await world.api.ask("PUT", path, forced)).status == HTTPStatus.OK
    await made(world)


async def test_a_server_gets_a_volume_and_gives_it_back(world: World) -> None:
    server_id, volume_id = await world.active(), await made(world)

    reply = await attach(world, server_id, volume_id, device="/dev/vdd")

    entry = {"id": volume_id, "volumeId": volume_id, "serverId": server_id, "device": "/dev/vdd"}
    assert reply.body == {"volumeAttachment": entry}
    assert (await shown(world, volume_id))["status"] == "attaching"
    assert await carry_out(world) == "attach_volume"
    volume = await shown(world, volume_id)
    assert (volume["status"], volume["attachments"]) == ("in-use", [entry])
    path = f"/servers/{server_id}/os-volume_attachments"
    assert (await world.api.get(path, who="alice"))["volumeAttachments"] == [entry]
    assert (await world.api.get(f"{path}/{volume_id}", who="alice"))["volumeAttachment"] == entry
    key = "os-extended-volumes:volumes_attached"
    assert (await world.show(server_id))[key] == [{"id": volume_id}]
    assert (await world.show(server_id, version="2.3"))[key] == [{"id": volume_id, "delete_on_termination": False}]
    assert [one[key] for one in (await world.api.get("/servers/detail", who="alice"))["servers"]] == [
        [{"id": volume_id}]
    ]

    assert (await world.api.ask("DELETE", f"{path}/{volume_id}", who="alice")).status == HTTPStatus.ACCEPTED
    assert (await shown(world, volume_id))["status"] == "detaching"
    assert await carry_out(world) == "detach_volume"
    assert (await shown(world, volume_id))["status"] == "available"
    assert (await world.api.get(path, who="alice"))["volumeAttachments"] == []
    missing = await world.api.ask("GET", f"{path}/{volume_id}", who="alice")
    assert (missing.status, missing.message) == (
        HTTPStatus.NOT_FOUND,
        f"Instance {server_id} is not attached to volume {volume_id}",
    )


async def test_attachments_stay_when_the_other_doors_to_volumes_are_gone(world: World) -> None:
    server_id = await world.active()

    for path in ("/os-volumes", "/os-volumes/detail", "/os-snapshots", "/os-snapshots/detail"):
        assert (await world.api.ask("GET", path, version="2.35")).status == HTTPStatus.OK
        assert (await world.api.ask("GET", path, version="2.36")).status == HTTPStatus.NOT_FOUND
    await world.api.get(f"/servers/{server_id}/os-volume_attachments", who="alice", version="2.36")


async def test_what_cannot_be_attached_is_refused_with_the_reason(world: World) -> None:
    first, second, free = await world.active(), await world.active(), await made(world)
    held = await attached(world, first)

    async def refusal(volume_id: str, server_id: str = second, **more: Any) -> tuple[int, str]:
        reply = await attach(world, server_id, volume_id, **more)
        return reply.status, reply.message

    assert (await refusal(held))[0] == HTTPStatus.BAD_REQUEST
    assert "status must be 'available'" in (await refusal(held))[1]
    assert await refusal(free, device="/dev/fd0") == (400, "The supplied device path (/dev/fd0) is invalid.")
    assert (await refusal(NOBODYS))[0] == HTTPStatus.NOT_FOUND
    assert (await refusal(free, NOBODYS))[0] == HTTPStatus.NOT_FOUND
    await world.put(second, RESCUED)
    assert await refusal(free) == (409, f"Cannot 'attach_volume' instance {second} while it is in vm_state rescued")


async def test_a_volume_does_not_leave_the_host_of_its_first_server(world: World) -> None:
    here, there = await world.active(), await world.active()
    volume_id = await attached(world, here)
    await world.put(there, ACTIVE, host=OTHER_HOST)
    await world.api.ask("DELETE", f"/servers/{here}/os-volume_attachments/{volume_id}", who="alice")
    await carry_out(world)

    refused = await attach(world, there, volume_id)

    assert refused.status == HTTPStatus.CONFLICT
    assert f"is kept on host {HOST}, and instance {there} is on {OTHER_HOST}" in refused.message


@pytest.mark.parametrize(
    "body", [{"resize": {"flavorRef": "2"}}, {"migrate": None}, {"shelve": None}], ids=lambda body: str(*body)
)
async def test_a_server_with_a_volume_does_not_move(world: World, body: dict[str, Any]) -> None:
    server_id = await world.active()
    await attached(world, server_id)

    refused = await world.act(server_id, body, who="admin")

    assert (refused.status, "detach them first" in refused.message) == (HTTPStatus.CONFLICT, True)
    assert (await world.show(server_id))["OS-EXT-STS:task_state"] is None


async def test_a_snapshot_is_made_shown_and_made_a_volume_of(world: World) -> None:
    volume_id = await attached(world, await world.active())
    body: dict[str, Any] = {"snapshot": {"volume_id": volume_id, "display_name": "monday"}}

    assert (await world.api.ask("POST", "/os-snapshots", body, who="alice")).status == HTTPStatus.BAD_REQUEST
    body["snapshot"]["force"] = True
    snapshot = (await world.api.ask("POST", "/os-snapshots", body, who="alice")).body["snapshot"]
    assert (snapshot["status"], snapshot["size"], snapshot["volumeId"]) == ("creating", 1, volume_id)
    too_early = await make(world, snapshot_id=snapshot["id"])
    assert await carry_out(world) == "volume_snapshot_create"

    found = (await world.api.get(f"/os-snapshots/{snapshot['id']}", who="alice"))["snapshot"]
    assert (found["status"], found["displayName"]) == ("available", "monday")
    assert (await world.api.get("/os-snapshots", who="alice"))["snapshots"] == [found]
    assert (await world.api.get("/os-snapshots", who="bob"))["snapshots"] == []
    assert too_early.status == HTTPStatus.BAD_REQUEST
    over = await world.api.ask("POST", "/os-snapshots", body, who="alice")
    assert (over.status, over.message.split(":")[0]) == (HTTPStatus.FORBIDDEN, "Quota exceeded for snapshots")
    volume = (await make(world, snapshot_id=snapshot["id"], size=2)).body["volume"]
    assert (volume["status"], volume["size"], volume["snapshotId"]) == ("creating", 2, snapshot["id"])
    assert await carry_out(world) == "create_volume"
    path = f"/os-snapshots/{snapshot['id']}"
    assert (await world.api.ask("DELETE", path, who="alice")).status == HTTPStatus.ACCEPTED
    assert await carry_out(world) == "volume_snapshot_delete"
    assert (await world.api.ask("GET", path, who="alice")).status == HTTPStatus.NOT_FOUND
