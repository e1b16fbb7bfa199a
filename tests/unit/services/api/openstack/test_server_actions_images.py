"""Images of servers at the API: what the image service is asked for, what is answered, recorded and ordered; and the shelf."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from novaflow.messages import (
    BACKUP_INSTANCE,
    SHELVE_INSTANCE,
    SHELVE_OFFLOAD_INSTANCE,
    SNAPSHOT_INSTANCE,
    UNSHELVE_INSTANCE,
)
from novaflow.states import OFFLOADED, SHELVED, Event, Power, Task
from novaflow.tasks import TaskParams
from tests.support.compute_api import PROJECT
from tests.support.server_world import HOST, IMAGE, World, server_world

IMAGES = "http://127.0.0.1:9292/images/"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with server_world(tmp_path) as world:
        world.glance.add(IMAGE, min_ram=64, os_distro="debian", img_signature="s", visibility="public")
        yield world


async def test_a_snapshot_is_an_image_that_waits_for_its_data(world: World) -> None:
    server_id = await world.active()

    reply = await world.act(server_id, {"createImage": {"name": "snap", "metadata": {"purpose": "test"}}})

    (image_id,) = world.glance.made
    image = world.glance.images[image_id]
    name, order = await world.order()
    assert (reply.status, reply.body, name) == (HTTPStatus.ACCEPTED, None, SNAPSHOT_INSTANCE.method)
    assert reply.headers["Location"] == f"{IMAGES}{image_id}"
    assert (image["name"], image["status"], image["visibility"], image["owner"]) == (
        "snap",
        "queued",
        "private",
        PROJECT,
    )
    assert (image["disk_format"], image["container_format"]) == ("qcow2", "bare")
    assert (image["min_disk"], image["min_ram"]) == (1, 64)
    facts = {"image_type": "snapshot", "instance_uuid": server_id, "base_image_ref": IMAGE, "user_id": "alice-id"}
    assert facts.items() <= image.items()
    assert (image["purpose"], image["os_distro"], "img_signature" in image) == ("test", "debian", False)
    assignment = await world.servers.assignment(server_id, order.task_id, HOST)
    assert (assignment.action, assignment.params) == ("createImage", TaskParams(image_id=image_id, image_name="snap"))


async def test_a_backup_says_how_many_of_its_kind_are_kept(world: World) -> None:
    server_id = await world.active()

    reply = await world.act(server_id, {"createBackup": {"name": "b", "backup_type": "daily", "rotation": "2"}})

    (image_id,) = world.glance.made
    image = world.glance.images[image_id]
    name, _ = await world.order()
    assert (reply.status, name) == (HTTPStatus.ACCEPTED, BACKUP_INSTANCE.method)
    assert reply.headers["Location"] == f"{IMAGES}{image_id}"
    assert (image["image_type"], image["backup_type"], image["instance_uuid"]) == ("backup", "daily", server_id)
    (task, *_) = await world.servers.actions(server_id)
    wanted = TaskParams(image_id=image_id, image_name="b", backup_type="daily", rotation=2)
    assert (task.action, task.params) == ("createBackup", wanted)


async def test_a_backup_of_which_none_is_kept_is_nowhere(world: World) -> None:
    body = {"createBackup": {"name": "b", "backup_type": "daily", "rotation": 0}}

    reply = await world.act(await world.active(), body)

    assert (reply.status, "Location" in reply.headers) == (HTTPStatus.ACCEPTED, False)


async def test_an_administrator_shares_his_image_of_anothers_server(world: World) -> None:
    server_id = await world.active()

    await world.act(server_id, {"createImage": {"name": "snap"}}, who="admin")

    image = world.glance.images[world.glance.made[0]]
    assert (image["visibility"], image["instance_owner"]) == ("shared", PROJECT)


@pytest.mark.parametrize("body", [{"createImage": {"name": "s"}}, {"shelve": None}])
async def test_no_image_is_made_of_a_server_that_cannot_be_copied(world: World, body: Any) -> None:
    server_id = await world.active()
    await world.act(server_id, {"pause": None})

    reply = await world.act(server_id, body)

    assert (reply.status, world.glance.made) == (HTTPStatus.CONFLICT, [])


async def test_an_image_service_that_is_away_leaves_the_server_as_it_is(world: World) -> None:
    server_id = await world.active()
    world.glance.is_away = True

    reply = await world.act(server_id, {"createImage": {"name": "s"}})

    assert reply.status == HTTPStatus.SERVICE_UNAVAILABLE
    assert (await world.servers.get(server_id)).task is Task.IDLE


async def test_an_image_service_that_takes_no_more_says_so(world: World) -> None:
    server_id = await world.active()
    world.glance.is_full = True

    assert (await world.act(server_id, {"createImage": {"name": "s"}})).status == HTTPStatus.FORBIDDEN
    assert (await world.servers.get(server_id)).task is Task.IDLE


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"createImage": {}}, 400, "'name' is a required property"),
        ({"createImage": {"name": " x"}}, 400, "An invalid 'name' value was provided"),
        ({"createImage": {"name": "s", "metadata": {"a": 1}}}, 400, "1 is not of type 'string'"),
        ({"createImage": {"name": "s", "metadata": {str(n): "" for n in range(129)}}}, 403, "Image metadata limit"),
        ({"createBackup": {"name": "s", "backup_type": "d"}}, 400, "'rotation' is a required property"),
        ({"createBackup": {"name": "s", "backup_type": "d", "rotation": -1}}, 400, "-1 is less than the minimum of 0"),
    ],
)
async def test_what_no_image_can_be_is_refused(world: World, body: Any, status: int, said: str) -> None:
    reply = await world.act(await world.active(), body)

    assert (reply.status, world.glance.made) == (status, [])
    assert said in reply.message


async def shelved(world: World) -> tuple[str, str]:
    """A shelved server and its image."""
    server_id = await world.active()
    assert (await world.act(server_id, {"shelve": None})).status == HTTPStatus.ACCEPTED
    name, order = await world.order()
    assert name == SHELVE_INSTANCE.method
    for event in (Event.UPLOAD_WANTED, Event.UPLOAD_STARTED):
        await world.servers.advance(server_id, order.task_id, event, host=HOST)
    await world.servers.advance(server_id, order.task_id, Event.SHELVED, host=HOST, power=Power.SHUTDOWN)
    return server_id, world.glance.made[0]


async def test_the_image_of_a_shelved_server_goes_with_it(world: World) -> None:
    server_id, image_id = await shelved(world)
    assert image_id in world.glance.images

    assert (await world.api.ask("DELETE", f"/servers/{server_id}", who="alice")).status == HTTPStatus.NO_CONTENT

    assert image_id not in world.glance.images


async def test_a_shelved_server_waits_as_an_image_and_comes_back_from_it(world: World) -> None:
    server_id, image_id = await shelved(world)

    reply = await world.act(server_id, {"unshelve": None})

    name, order = await world.order()
    image = world.glance.images[image_id]
    assert (image["name"], image["image_type"]) == ("web-shelved", "snapshot")
    assert (reply.status, name, order.server_id) == (HTTPStatus.ACCEPTED, UNSHELVE_INSTANCE.method, server_id)
    (task, *_) = await world.servers.actions(server_id)
    assert (task.action, task.params.image_id) == ("unshelve", image_id)


async def test_an_offloaded_server_needs_a_host_again(world: World) -> None:
    server_id, image_id = await shelved(world)
    await world.put(server_id, OFFLOADED)

    reply = await world.act(server_id, {"unshelve": None})

    move = await world.move()
    assert (reply.status, move.server_id, move.spec.flavor.id) == (HTTPStatus.ACCEPTED, server_id, "1")
    assert (await world.servers.actions(server_id))[0].params.image_id == image_id


async def test_only_administrators_offload(world: World) -> None:
    server_id = await world.active()
    await world.put(server_id, SHELVED)

    refused = await world.act(server_id, {"shelveOffload": None})
    done = await world.act(server_id, {"shelveOffload": None}, who="admin")

    rule = "os_compute_api:os-shelve:shelve_offload"
    assert (refused.status, refused.message) == (
        HTTPStatus.FORBIDDEN,
        f"Policy doesn't allow {rule} to be performed.",
    )
    assert done.status == HTTPStatus.ACCEPTED
    assert (await world.order())[0] == SHELVE_OFFLOAD_INSTANCE.method
