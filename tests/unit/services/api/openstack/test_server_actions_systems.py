"""Rescue, rebuild and passwords at the API: what is answered, recorded and ordered, and that no password is kept."""

import base64
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from novaflow.db.guest_passwords import GuestPasswords
from novaflow.messages import REBUILD_INSTANCE, RESCUE_INSTANCE, SET_ADMIN_PASSWORD, PasswordOrder
from novaflow.states import SHUTOFF, Task
from novaflow.tasks import TaskParams
from tests.support.server_world import HOST, IMAGE, World, server_world

OTHER_IMAGE = "22222222-2222-4222-8222-222222222222"
HIDDEN_IMAGE = "33333333-3333-4333-8333-333333333333"
PASSWORD = "open sesame"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with server_world(tmp_path) as world:
        world.glance.add(OTHER_IMAGE, name="other", kernel_id="k", ramdisk_id="r")
        world.glance.add(HIDDEN_IMAGE, visibility="private", owner="somebody")
        yield world


async def params(world: World, server_id: str) -> TaskParams:
    """What the server's latest task was asked with."""
    return (await world.servers.actions(server_id))[0].params


@pytest.mark.parametrize(
    ("body", "image_id"),
    [(None, ""), ({}, ""), ({"rescue_image_ref": OTHER_IMAGE}, OTHER_IMAGE), ({"rescue_image_ref": ""}, "")],
)
async def test_a_rescue_boots_another_image_and_says_its_password(world: World, body: Any, image_id: str) -> None:
    server_id = await world.active()

    reply = await world.act(server_id, {"rescue": body})

    name, order = await world.order()
    assert (name, reply.status) == (RESCUE_INSTANCE.method, HTTPStatus.OK)
    assert isinstance(order, PasswordOrder)
    assert reply.body == {"adminPass": order.admin_password}
    assert len(order.admin_password) == 12
    assert await params(world, server_id) == TaskParams(image_id=image_id)


async def test_a_password_that_is_given_is_used_and_kept_nowhere(world: World, tmp_path: Path) -> None:
    server_id = await world.active()

    reply = await world.act(server_id, {"rescue": {"adminPass": PASSWORD}})

    _, order = await world.order()
    assert reply.body == {"adminPass": PASSWORD}
    assert order.admin_password == PASSWORD
    assert PASSWORD not in repr(order)
    assert [
        file.name for file in tmp_path.rglob("*") if file.is_file() and PASSWORD.encode() in file.read_bytes()
    ] == []


@pytest.mark.parametrize("image_id", [HIDDEN_IMAGE, "44444444-4444-4444-8444-444444444444"])
async def test_an_image_that_cannot_be_had_rescues_nothing(world: World, image_id: str) -> None:
    server_id = await world.active()

    reply = await world.act(server_id, {"rescue": {"rescue_image_ref": image_id}})

    said = f"Requested rescue image '{image_id}' is not supported"
    assert (reply.status, reply.message) == (HTTPStatus.BAD_REQUEST, said)
    assert (await world.servers.get(server_id)).task is Task.IDLE


async def test_a_rebuild_changes_what_is_given_and_answers_the_server(world: World) -> None:
    server_id = await world.active(metadata={"old": "1"})
    file = {"path": "/etc/motd", "contents": base64.b64encode(b"hello").decode()}

    reply = await world.act(
        server_id,
        {
            "rebuild": {
                "imageRef": OTHER_IMAGE,
                "name": "again",
                "description": "made anew",
                "metadata": {"new": "2"},
                "adminPass": PASSWORD,
                "accessIPv4": "192.0.2.7",
                "OS-DCF:diskConfig": "AUTO",
                "personality": [file],
            }
        },
        version="2.19",
    )

    name, order = await world.order()
    shown = reply.body["server"]
    assert (name, reply.status) == (REBUILD_INSTANCE.method, HTTPStatus.ACCEPTED)
    assert reply.headers["Location"].endswith(f"/servers/{server_id}")
    assert (shown["id"], shown["name"], shown["status"], shown["adminPass"]) == (
        server_id,
        "again",
        "REBUILD",
        PASSWORD,
    )
    assert (shown["image"]["id"], shown["metadata"], shown["description"]) == (OTHER_IMAGE, {"new": "2"}, "made anew")
    assert (shown["accessIPv4"], shown["OS-DCF:diskConfig"]) == ("192.0.2.7", "AUTO")
    assert order.admin_password == PASSWORD
    plan = (await world.servers.assignment(server_id, order.task_id, HOST)).plan
    assert (plan.server.image_id, plan.server.kernel_id, plan.server.ramdisk_id) == (OTHER_IMAGE, "k", "r")
    assert plan.image is not None
    assert (plan.image.id, [one.path for one in plan.files]) == (OTHER_IMAGE, ["/etc/motd"])


async def test_a_rebuild_keeps_what_is_not_given_but_for_files(world: World) -> None:
    file = {"path": "/etc/motd", "contents": base64.b64encode(b"hello").decode()}
    server_id = await world.active(metadata={"old": "1"}, personality=[file])

    shown = (await world.act(server_id, {"rebuild": {"imageRef": IMAGE}})).body["server"]

    _, order = await world.order()
    assignment = await world.servers.assignment(server_id, order.task_id, HOST)
    assert (shown["name"], shown["metadata"], shown["adminPass"]) == ("web", {"old": "1"}, order.admin_password)
    assert assignment.plan.files == ()
    assert assignment.params == TaskParams(image_id=IMAGE)


async def test_a_server_that_was_off_is_rebuilt_to_be_off(world: World) -> None:
    server_id = await world.active()
    await world.put(server_id, SHUTOFF)

    await world.act(server_id, {"rebuild": {"imageRef": IMAGE}})

    assert (await params(world, server_id)).keeps_off


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 400, "Invalid input for field/attribute rebuild. Value: {}. 'imageRef' is a required property"),
        ({"imageRef": "not-a-uuid"}, 400, "Invalid input for field/attribute imageRef. Value: not-a-uuid."),
        ({"imageRef": "44444444-4444-4444-8444-444444444444"}, 400, "Cannot find image for rebuild"),
        ({"imageRef": HIDDEN_IMAGE}, 400, "Cannot find image for rebuild"),
        ({"imageRef": IMAGE, "description": "d"}, 400, "Additional properties are not allowed ('description' was"),
        ({"imageRef": IMAGE, "metadata": {str(n): "" for n in range(129)}}, 403, "Maximum number of metadata items"),
        ({"imageRef": IMAGE, "personality": [{"path": "/a", "contents": ""}] * 6}, 403, "Personality file limit"),
    ],
)
async def test_a_rebuild_that_cannot_be_changes_nothing(world: World, body: Any, status: int, said: str) -> None:
    server_id = await world.active()

    reply = await world.act(server_id, {"rebuild": body})

    assert reply.status == status
    assert said in reply.message
    assert (await world.servers.get(server_id)).task is Task.IDLE


async def test_a_new_password_goes_to_the_host_alone(world: World) -> None:
    server_id = await world.active()

    reply = await world.act(server_id, {"changePassword": {"adminPass": PASSWORD}})

    name, order = await world.order()
    assert (reply.status, reply.body, name) == (HTTPStatus.ACCEPTED, None, SET_ADMIN_PASSWORD.method)
    assert order.admin_password == PASSWORD
    assert (await world.show(server_id))["status"] == "PASSWORD"


@pytest.mark.parametrize(
    "body", [None, {}, {"adminPass": 5}, {"adminPass": "x" * 256}, {"adminPass": "p", "user": "r"}]
)
async def test_a_password_is_text_and_is_not_repeated(world: World, body: Any) -> None:
    reply = await world.act(await world.active(), {"changePassword": body})

    assert reply.status == HTTPStatus.BAD_REQUEST
    assert "x" * 20 not in reply.message


async def test_the_password_that_a_guest_has_posted_is_its_owners_to_see_and_to_clear(world: World) -> None:
    server_id = await world.active()
    path = f"/servers/{server_id}/os-server-password"
    passwords = GuestPasswords(world.api.database)
    assert await world.api.get(path, who="alice") == {"password": ""}

    await passwords.post(server_id, "encrypted")

    assert await world.api.get(path, who="alice") == {"password": "encrypted"}
    for method in ("GET", "DELETE"):
        assert (await world.api.ask(method, path, who="bob")).status == HTTPStatus.NOT_FOUND
    assert (await world.api.ask("DELETE", path, who="alice")).status == HTTPStatus.NO_CONTENT
    assert await world.api.get(path, who="alice") == {"password": ""}
    await passwords.post(server_id, "another")
    assert await world.api.get(path, who="alice") == {"password": "another"}
