"""Resizes and cold migrations at the API: which flavors a server can have, what is reserved, what is asked of whom."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from novaflow.db.flavors import Flavors
from novaflow.db.quotas import Quotas
from novaflow.messages import CONFIRM_RESIZE, REVERT_RESIZE
from novaflow.models import Flavor
from novaflow.states import RESIZED, SHUTOFF, Task
from tests.support.compute_api import PROJECT
from tests.support.server_world import HOST, OTHER_HOST, World, server_world

FLAVORS = (
    Flavor(id="wide", name="wide", vcpus=4, ram_mb=1024, disk_gb=1),
    Flavor(id="off", name="off", vcpus=1, ram_mb=512, disk_gb=1, is_disabled=True),
    Flavor(id="diskless", name="diskless", vcpus=1, ram_mb=512, disk_gb=0),
    Flavor(id="huge", name="huge", vcpus=64, ram_mb=512, disk_gb=1),
    Flavor(id="hidden", name="hidden", vcpus=1, ram_mb=512, disk_gb=1, is_public=False),
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with server_world(tmp_path) as world:
        flavors = Flavors(world.api.database)
        for flavor in FLAVORS:
            await flavors.create(flavor)
        yield world


async def used(world: World) -> tuple[int, int, int]:
    usage = await Quotas(world.api.database).usage(PROJECT, "alice-id")
    return usage.instances, usage.cores, usage.ram


async def test_a_resize_reserves_what_it_grows_by_and_asks_the_scheduler(world: World) -> None:
    server_id = await world.active()

    reply = await world.act(server_id, {"resize": {"flavorRef": "wide", "OS-DCF:diskConfig": "AUTO"}})

    move = await world.move()
    found = await world.servers.assignment(server_id, move.task_id, HOST)
    shown = await world.show(server_id)
    assert (reply.status, reply.body) == (HTTPStatus.ACCEPTED, None)
    assert (shown["status"], shown["OS-EXT-STS:task_state"]) == ("RESIZE", "resize_prep")
    assert (shown["flavor"]["id"], shown["OS-DCF:diskConfig"]) == ("1", "AUTO")
    assert await used(world) == (1, 4, 1024)
    assert found.migration is not None
    assert (found.action, found.params.migration_id, found.params.keeps_off) == ("resize", found.migration.id, False)
    assert (found.migration.type, found.migration.status, found.migration.source_host) == ("resize", "accepted", HOST)
    assert (found.migration.old_flavor.id, found.migration.new_flavor.id) == ("1", "wide")


@pytest.mark.parametrize(
    ("flavor", "status", "said"),
    [
        ("1", 400, "When resizing, instances must change flavor!"),
        ("none", 400, "Flavor none could not be found."),
        ("hidden", 400, "Flavor hidden could not be found."),
        ("off", 400, "Flavor off could not be found."),
        ("diskless", 400, "Server disk was unable to be resized because: Resize to zero disk flavor is not allowed."),
        ("huge", 403, "Quota exceeded for cores: Requested 63, but already used 1 of 20 cores"),
    ],
)
async def test_a_flavor_that_a_server_cannot_have_is_refused(world: World, flavor: str, status: int, said: str) -> None:
    server_id = await world.active()

    reply = await world.act(server_id, {"resize": {"flavorRef": flavor}})

    assert (reply.status, reply.message) == (status, said)
    assert (await world.servers.get(server_id)).task is Task.IDLE
    assert await used(world) == (1, 1, 512)
    assert await world.servers.migration(server_id) is None


async def test_a_disk_never_shrinks(world: World) -> None:
    server_id = await world.active(flavorRef="2")

    reply = await world.act(server_id, {"resize": {"flavorRef": "1"}})

    said = "Server disk was unable to be resized because: Unable to resize disk down."
    assert (reply.status, reply.message) == (HTTPStatus.BAD_REQUEST, said)


@pytest.mark.parametrize("body", [None, {}, {"flavorRef": None}, {"flavorRef": "2", "host": "c2"}])
async def test_a_resize_names_a_flavor_and_nothing_else(world: World, body: Any) -> None:
    assert (await world.act(await world.active(), {"resize": body})).status == HTTPStatus.BAD_REQUEST


async def test_a_migration_keeps_the_flavor_and_is_for_administrators(world: World) -> None:
    server_id = await world.active()
    await world.put(server_id, SHUTOFF)

    refused = await world.act(server_id, {"migrate": None})
    reply = await world.act(server_id, {"migrate": None}, who="admin")

    move = await world.move()
    found = await world.servers.assignment(server_id, move.task_id, HOST)
    rule = "os_compute_api:os-migrate-server:migrate"
    assert (refused.status, refused.message) == (
        HTTPStatus.FORBIDDEN,
        f"Policy doesn't allow {rule} to be performed.",
    )
    assert reply.status == HTTPStatus.ACCEPTED
    assert found.migration is not None
    assert (found.action, found.migration.type, found.params.keeps_off) == ("migrate", "migration", True)
    assert found.migration.new_flavor == found.migration.old_flavor
    assert found.migration.project_id == PROJECT
    assert await used(world) == (1, 1, 512)


@pytest.mark.parametrize(
    ("action", "status", "method", "host"),
    [
        ("confirmResize", HTTPStatus.NO_CONTENT, CONFIRM_RESIZE.method, OTHER_HOST),
        ("revertResize", HTTPStatus.ACCEPTED, REVERT_RESIZE.method, HOST),
    ],
)
async def test_a_resize_is_confirmed_where_it_came_from_and_taken_back_where_it_is(
    world: World, action: str, status: int, method: str, host: str
) -> None:
    server_id = await world.active()
    number = await world.moved(server_id, OTHER_HOST)
    await world.put(server_id, RESIZED)

    reply = await world.act(server_id, {action: None})

    name, _ = await world.order()
    (task, *_) = await world.servers.actions(server_id)
    assert (reply.status, name, world.heard_at) == (status, method, [host])
    assert (task.action, task.params.migration_id) == (action, number)


@pytest.mark.parametrize("action", ["confirmResize", "revertResize"])
async def test_what_was_never_resized_cannot_be_settled(world: World, action: str) -> None:
    server_id = await world.active()
    await world.put(server_id, RESIZED)

    reply = await world.act(server_id, {action: None})

    assert (reply.status, reply.message) == (HTTPStatus.BAD_REQUEST, "Instance has not been resized.")
    assert (await world.servers.get(server_id)).state == RESIZED
