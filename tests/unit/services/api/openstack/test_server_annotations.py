"""Metadata, tags and addresses of servers."""

from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from novaflow.config import Config
from novaflow.db.schema.compute import servers
from novaflow.quotas import QuotaLimits
from novaflow.states import Task, Vm
from tests.support.compute_api import Reply
from tests.support.server_world import World, server_world

NEW = "2.26"


async def ask(world: World, method: str, path: str, body: object = None, *, who: str = "alice") -> Reply:
    return await world.api.ask(method, f"/servers/{path}", body, who=who, version=NEW)


async def put_into(world: World, server_id: str, **columns: Any) -> None:
    """Have a server be in a state without taking it there."""
    statement = update(servers).where(servers.c.id == server_id).values(**columns)
    await world.api.database.write(lambda connection: connection.execute(statement))


async def test_metadata_is_added_replaced_and_taken_away(world: World) -> None:
    server_id = await world.active(metadata={"a": "1"})
    path = f"{server_id}/metadata"

    added = await ask(world, "POST", path, {"metadata": {"b": "2"}})
    changed = await ask(world, "PUT", f"{path}/a", {"meta": {"a": "3"}})
    one = await ask(world, "GET", f"{path}/b")
    removed = await ask(world, "DELETE", f"{path}/b")
    left = await ask(world, "GET", path)
    replaced = await ask(world, "PUT", path, {"metadata": {"c": ""}})

    assert (added.status, added.body) == (HTTPStatus.OK, {"metadata": {"a": "1", "b": "2"}})
    assert (changed.status, changed.body) == (HTTPStatus.OK, {"meta": {"a": "3"}})
    assert (one.status, one.body) == (HTTPStatus.OK, {"meta": {"b": "2"}})
    assert (removed.status, removed.body) == (HTTPStatus.NO_CONTENT, None)
    assert left.body == {"metadata": {"a": "3"}}
    assert (replaced.status, replaced.body) == (HTTPStatus.OK, {"metadata": {"c": ""}})
    assert (await world.show(server_id))["metadata"] == {"c": ""}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("GET", "metadata/none", None, 404, "Metadata item was not found"),
        ("DELETE", "metadata/none", None, 404, "Metadata item was not found"),
        ("PUT", "metadata/a", {"meta": {"b": "1"}}, 400, "Request body and URI mismatch"),
        ("PUT", "metadata/a", {"meta": {}}, 400, "Invalid input for field/attribute meta. Value: {}."),
        ("PUT", "metadata/a", {"meta": {"a": "1", "b": "2"}}, 400, "Invalid input for field/attribute meta."),
        ("POST", "metadata", {"metadata": {"": "1"}}, 400, "Invalid input for field/attribute metadata."),
        ("POST", "metadata", {"metadata": {"a": None}}, 400, "Invalid input for field/attribute a. Value: None."),
        ("POST", "metadata", {"meta": {}}, 400, "'metadata' is a required property"),
        ("POST", "metadata", {"metadata": {str(n): "" for n in range(129)}}, 403, "Maximum number of metadata items"),
        ("GET", "tags/none", None, 404, "Server "),
        ("DELETE", "tags/none", None, 404, "Server "),
        ("PUT", "tags", {"tags": [str(n) for n in range(51)]}, 400, "Invalid input for field/attribute tags."),
        ("PUT", "tags", {"tags": ["a,b"]}, 400, "Invalid input for field/attribute 0. Value: a,b."),
        ("PUT", "tags/" + "a" * 61, None, 400, "Tag 'aaa"),
        ("PUT", "tags/a,b", None, 400, "Tag 'a,b' is invalid. It must be a non empty string without characters '/'"),
        ("GET", "ips/none", None, 404, "Instance is not a member of specified network"),
    ],
)
async def test_what_cannot_be_is_refused(
    world: World, method: str, path: str, body: object, status: int, said: str
) -> None:
    reply = await ask(world, method, f"{await world.active()}/{path}", body)

    assert reply.status == status
    assert reply.message.startswith(said)


async def test_the_quota_of_metadata_counts_all_of_a_servers_items(tmp_path: Path) -> None:
    async with server_world(tmp_path, Config(quota=QuotaLimits(metadata_items=2))) as world:
        path = f"{await world.active(metadata={'a': '1', 'b': '2'})}/metadata"

        over = await ask(world, "POST", path, {"metadata": {"c": "3"}})
        level = await ask(world, "POST", path, {"metadata": {"b": "3"}})

        assert (over.status, over.message) == (403, "Maximum number of metadata items exceeds 2")
        assert level.body == {"metadata": {"a": "1", "b": "3"}}


@pytest.mark.parametrize(
    ("method", "path", "body", "action"),
    [
        ("POST", "metadata", {"metadata": {"b": "2"}}, "update metadata"),
        ("PUT", "metadata", {"metadata": {}}, "update metadata"),
        ("DELETE", "metadata/a", None, "delete metadata"),
        ("PUT", "tags", {"tags": ["a"]}, "update tags"),
        ("PUT", "tags/a", None, "update tag"),
        ("DELETE", "tags", None, "delete tags"),
    ],
)
async def test_a_server_being_built_cannot_be_annotated(
    world: World, method: str, path: str, body: object, action: str
) -> None:
    server_id = await world.created(metadata={"a": "1"})

    reply = await ask(world, method, f"{server_id}/{path}", body)

    assert reply.status == HTTPStatus.CONFLICT
    assert reply.message == f"Cannot '{action}' instance {server_id} while it is in vm_state building"


@pytest.mark.parametrize("vm", [Vm.ACTIVE, Vm.PAUSED, Vm.SUSPENDED, Vm.STOPPED])
@pytest.mark.parametrize("task", [Task.IDLE, Task.IMAGE_SNAPSHOT])
async def test_a_server_that_is_up_or_at_rest_is_annotated_whatever_it_is_doing(
    world: World, vm: Vm, task: Task
) -> None:
    server_id = await world.active()
    await put_into(world, server_id, vm=vm, task=task)

    metadata = await ask(world, "POST", f"{server_id}/metadata", {"metadata": {"b": "2"}})
    tags = await ask(world, "PUT", f"{server_id}/tags", {"tags": ["a"]})

    assert (metadata.status, tags.status) == (HTTPStatus.OK, HTTPStatus.OK)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "metadata", {"metadata": {"b": "2"}}),
        ("PUT", "metadata", {"metadata": {}}),
        ("PUT", "metadata/a", {"meta": {"a": "2"}}),
        ("DELETE", "metadata/a", None),
    ],
)
async def test_only_administrators_change_the_metadata_of_a_locked_server(
    world: World, method: str, path: str, body: object
) -> None:
    server_id = await world.active(metadata={"a": "1"})
    await put_into(world, server_id, is_locked=True)

    refused = await ask(world, method, f"{server_id}/{path}", body)
    done = await ask(world, method, f"{server_id}/{path}", body, who="admin")

    assert (refused.status, refused.message) == (HTTPStatus.CONFLICT, f"Instance {server_id} is locked")
    assert done.status in (HTTPStatus.OK, HTTPStatus.NO_CONTENT)


async def test_a_locked_server_is_tagged_and_described_all_the_same(world: World) -> None:
    server_id = await world.active()
    await put_into(world, server_id, is_locked=True)

    tagged = await ask(world, "PUT", f"{server_id}/tags", {"tags": ["a"]})
    described = await ask(world, "PUT", server_id, {"server": {"description": "the locked one"}})

    assert (tagged.status, described.status) == (HTTPStatus.OK, HTTPStatus.OK)
    assert described.body["server"]["description"] == "the locked one"


async def test_tags_are_set_added_and_taken_away(world: World) -> None:
    server_id = await world.active()
    path = f"{server_id}/tags"

    put = await ask(world, "PUT", path, {"tags": ["b", "a", "b"]})
    added = await ask(world, "PUT", f"{path}/c d")
    again = await ask(world, "PUT", f"{path}/c d")
    has = await ask(world, "GET", f"{path}/a")
    removed = await ask(world, "DELETE", f"{path}/a")
    listed = await ask(world, "GET", path)
    cleared = await ask(world, "DELETE", path)

    assert put.body == {"tags": ["b", "a"]}
    assert added.status == HTTPStatus.CREATED
    assert added.headers["Location"] == f"{world.api.root}/v2.1/servers/{server_id}/tags/c%20d"
    assert (again.status, has.status, removed.status) == (HTTPStatus.NO_CONTENT,) * 3
    assert listed.body == {"tags": ["b", "c d"]}
    assert cleared.status == HTTPStatus.NO_CONTENT
    assert (await world.show(server_id, version=NEW))["tags"] == []


async def test_there_are_no_tags_before_2_26(world: World) -> None:
    server_id = await world.active()

    for method, path, body in (("GET", "", None), ("PUT", "", {"tags": []}), ("GET", "/a", None), ("PUT", "/a", None)):
        reply = await world.api.ask(method, f"/servers/{server_id}/tags{path}", body, who="alice", version="2.25")
        assert (reply.status, reply.message) == (HTTPStatus.NOT_FOUND, "The resource could not be found.")


async def test_addresses_are_listed_by_network(world: World) -> None:
    server_id = await world.active()
    (shown,) = (await world.show(server_id))["addresses"]["private"]

    listed = await ask(world, "GET", f"{server_id}/ips")
    one = await ask(world, "GET", f"{server_id}/ips/private")

    plain = [{"version": 4, "addr": shown["addr"]}]
    assert listed.body == {"addresses": {"private": plain}}
    assert one.body == {"private": plain}


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "metadata"), ("GET", "metadata/a"), ("GET", "tags"), ("GET", "ips"), ("DELETE", "tags/a")],
)
async def test_other_projects_annotations_do_not_exist(world: World, method: str, path: str) -> None:
    server_id: Any = await world.active(metadata={"a": "1"})

    reply = await ask(world, method, f"{server_id}/{path}", who="bob")

    assert (reply.status, reply.message) == (HTTPStatus.NOT_FOUND, f"Instance {server_id} could not be found.")
