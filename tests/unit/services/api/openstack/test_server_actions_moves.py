"""Live migrations and evacuations at the API, and what is shown of all moves."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from novaflow.db.moving import EVACUATION, LIVE
from novaflow.messages import LIVE_MIGRATION_ABORT, LIVE_MIGRATION_FORCE_COMPLETE
from novaflow.states import SHUTOFF, State, Task, Vm, state_of
from tests.support.server_world import HOST, OTHER_HOST, World, server_world

MIGRATING = state_of(Vm.ACTIVE, Task.MIGRATING)
PAUSED_MIGRATING = state_of(Vm.PAUSED, Task.MIGRATING)
NOWHERE = {"host": None, "block_migration": "auto"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with server_world(tmp_path) as world:
        yield world


async def live(world: World, server_id: str, body: Any, version: str = "2.25", who: str = "admin") -> Any:
    return await world.act(server_id, {"os-migrateLive": body}, who=who, version=version)


@pytest.mark.parametrize(
    ("version", "body", "target"),
    [
        ("2.1", {"host": None, "block_migration": True, "disk_over_commit": False}, ""),
        ("2.24", {"host": OTHER_HOST, "block_migration": "true", "disk_over_commit": "False"}, OTHER_HOST),
        ("2.25", {"host": OTHER_HOST, "block_migration": "auto"}, OTHER_HOST),
        ("2.30", {"host": OTHER_HOST, "block_migration": True, "force": True}, OTHER_HOST),
    ],
)
async def test_a_live_migration_goes_where_an_administrator_or_the_scheduler_wants(
    world: World, version: str, body: Any, target: str
) -> None:
    server_id = await world.active()

    reply = await live(world, server_id, body, version)

    move = await world.move()
    found = await world.servers.assignment(server_id, move.task_id, HOST)
    assert (reply.status, reply.body) == (HTTPStatus.ACCEPTED, None)
    assert (found.action, found.params.target_host) == ("live-migration", target)
    assert found.migration is not None
    assert (found.migration.type, found.params.migration_id) == (LIVE, found.migration.id)
    assert (await world.show(server_id))["status"] == "MIGRATING"


@pytest.mark.parametrize(
    ("version", "body", "said"),
    [
        ("2.1", {"host": None, "block_migration": True}, "'disk_over_commit' is a required property"),
        ("2.1", {"host": None, "block_migration": "auto", "disk_over_commit": False}, "'auto' is not one of"),
        ("2.25", {"host": None, "block_migration": True, "disk_over_commit": False}, "Additional properties"),
        ("2.29", {"host": OTHER_HOST, "block_migration": True, "force": True}, "Additional properties"),
        ("2.30", {"host": None, "block_migration": True, "force": True}, "Can't force to a non-provided destination"),
        ("2.25", {"host": "c9", "block_migration": "auto"}, "Compute host c9 could not be found."),
        ("2.25", {"host": HOST, "block_migration": "auto"}, f"to current host ({HOST})."),
        ("2.25", {"host": OTHER_HOST, "block_migration": False}, "is not on shared storage: Shared storage"),
    ],
)
async def test_a_live_migration_that_cannot_be_is_refused(world: World, version: str, body: Any, said: str) -> None:
    server_id = await world.active()

    reply = await live(world, server_id, body, version)

    assert reply.status == HTTPStatus.BAD_REQUEST
    assert said in reply.message
    assert (await world.servers.get(server_id)).task is Task.IDLE


@pytest.mark.parametrize(("down", "body"), [(HOST, NOWHERE), (OTHER_HOST, {**NOWHERE, "host": OTHER_HOST})])
async def test_a_live_migration_needs_both_hosts(world: World, down: str, body: Any) -> None:
    server_id = await world.active()
    await world.goes_down(down)

    reply = await live(world, server_id, body)

    said = f"Compute service of {down} is unavailable at this time."
    assert (reply.status, reply.message) == (HTTPStatus.BAD_REQUEST, said)


async def evacuate(world: World, server_id: str, version: str = "2.14", **body: Any) -> Any:
    return await world.act(server_id, {"evacuate": body}, who="admin", version=version)


async def test_an_evacuation_makes_a_server_anew_elsewhere(world: World) -> None:
    server_id = await world.active()
    await world.put(server_id, SHUTOFF)
    await world.goes_down()

    reply = await evacuate(world, server_id, "2.13", host=OTHER_HOST, onSharedStorage=False)

    move = await world.move()
    found = await world.servers.assignment(server_id, move.task_id, HOST)
    assert (reply.status, reply.body) == (HTTPStatus.OK, {"adminPass": move.admin_password})
    assert move.admin_password not in repr(move)
    assert (found.action, found.params.target_host, found.params.keeps_off) == ("evacuate", OTHER_HOST, True)
    assert found.migration is not None
    assert (found.migration.type, found.migration.source_host) == (EVACUATION, HOST)


async def test_since_2_14_an_evacuation_tells_no_password(world: World) -> None:
    server_id = await world.active()
    await world.goes_down()

    reply = await evacuate(world, server_id, adminPass="given")

    assert (reply.status, reply.body) == (HTTPStatus.OK, None)
    assert (await world.move()).admin_password == "given"


@pytest.mark.parametrize(
    ("version", "body", "status", "said"),
    [
        ("2.13", {}, 400, "'onSharedStorage' is a required property"),
        ("2.13", {"onSharedStorage": True}, 400, "Invalid state of instance files on shared storage"),
        ("2.13", {"onSharedStorage": True, "adminPass": "p"}, 400, "admin password can't be changed on existing disk"),
        ("2.14", {"onSharedStorage": True}, 400, "Additional properties are not allowed"),
        ("2.29", {"force": True}, 400, "Can't force to a non-provided destination"),
        ("2.14", {"host": "c9"}, 404, "Compute host c9 not found."),
        ("2.14", {"host": HOST}, 400, "The target host can't be the same one."),
        ("2.14", {}, 400, f"Compute service of {HOST} is still in use."),
    ],
)
async def test_an_evacuation_that_cannot_be_is_refused(
    world: World, version: str, body: Any, status: int, said: str
) -> None:
    server_id = await world.active()

    reply = await evacuate(world, server_id, version, **body)

    assert reply.status == status
    assert said in reply.message
    assert (await world.servers.get(server_id)).task is Task.IDLE


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ({"os-migrateLive": NOWHERE}, "os-migrate-server:migrate_live"),
        ({"evacuate": {}}, "os-evacuate"),
        ({"os-resetState": {"state": "active"}}, "os-admin-actions:reset_state"),
        ({"resetNetwork": None}, "os-admin-actions:reset_network"),
        ({"injectNetworkInfo": None}, "os-admin-actions:inject_network_info"),
    ],
)
async def test_owners_are_no_administrators(world: World, body: Any, rule: str) -> None:
    reply = await world.act(await world.active(), body, version="2.25")

    said = f"Policy doesn't allow os_compute_api:{rule} to be performed."
    assert (reply.status, reply.message) == (HTTPStatus.FORBIDDEN, said)


async def migrating(world: World, status: str = "pre-migrating") -> tuple[str, int]:
    """A server on its way from HOST, and its migration's number."""
    server_id = await world.active()
    number = await world.moved(server_id, HOST, LIVE, status=status)
    await world.put(server_id, MIGRATING)
    return server_id, number


async def test_live_migrations_under_way_are_shown(world: World) -> None:
    server_id, number = await migrating(world)
    path = f"/servers/{server_id}/migrations"

    (listed,) = (await world.api.get(path, version="2.23"))["migrations"]
    shown = (await world.api.get(f"{path}/{number}", version="2.23"))["migration"]

    assert listed == shown
    assert (shown["id"], shown["server_uuid"], shown["status"]) == (number, server_id, "running")
    assert (shown["source_compute"], shown["memory_total_bytes"]) == (HOST, None)
    assert (await world.api.ask("GET", path, version="2.22")).status == HTTPStatus.NOT_FOUND
    assert (await world.api.ask("GET", path, version="2.23", who="alice")).status == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize("key", ["999", "x", "9" * 40])
async def test_what_is_no_live_migration_under_way_is_not_found(world: World, key: str) -> None:
    server_id, _ = await migrating(world)
    resized = await world.moved(server_id, HOST)
    over = await world.moved(server_id, HOST, LIVE, status="completed")

    for number in (key, resized, over):
        reply = await world.api.ask("GET", f"/servers/{server_id}/migrations/{number}", version="2.23")
        assert reply.status == HTTPStatus.NOT_FOUND


async def test_a_live_migration_is_aborted_or_forced_at_its_source(world: World) -> None:
    server_id, number = await migrating(world)
    path = f"/servers/{server_id}/migrations/{number}"

    forced = await world.api.ask("POST", f"{path}/action", {"force_complete": None}, version="2.22")
    aborted = await world.api.ask("DELETE", path, version="2.24")

    orders = [(await world.order())[0], (await world.order())[0]]
    assert (forced.status, aborted.status) == (HTTPStatus.ACCEPTED, HTTPStatus.ACCEPTED)
    assert (await world.api.get(path, version="2.23"))["migration"][
        "status"
    ] == "running"  # until its source has heard it
    assert orders == [LIVE_MIGRATION_FORCE_COMPLETE.method, LIVE_MIGRATION_ABORT.method]
    assert world.heard_at == [HOST, HOST]


@pytest.mark.parametrize(
    ("state", "status", "answered", "said"),
    [
        (MIGRATING, "accepted", 400, "is queued. Cannot force complete while the migration is in this state."),
        (MIGRATING, "completed", 400, "is completed. Cannot force complete while the migration is in this state."),
        (PAUSED_MIGRATING, "pre-migrating", 409, "while it is in vm_state paused"),
        (SHUTOFF, "pre-migrating", 409, "while it is in task_state None"),
    ],
)
async def test_only_a_live_migration_that_runs_is_forced_to_complete(
    world: World, state: State, status: str, answered: int, said: str
) -> None:
    server_id, number = await migrating(world, status)
    await world.put(server_id, state)

    path = f"/servers/{server_id}/migrations/{number}/action"
    refused = await world.api.ask("POST", path, {"force_complete": None}, version="2.22")

    assert refused.status == answered
    assert said in refused.message


async def test_only_what_has_begun_can_be_aborted(world: World) -> None:
    server_id, number = await migrating(world, status="accepted")

    early = await world.api.ask("DELETE", f"/servers/{server_id}/migrations/{number}", version="2.24")
    missing = await world.api.ask("DELETE", f"/servers/{server_id}/migrations/999", version="2.24")
    await world.put(server_id, SHUTOFF)
    late = await world.api.ask("DELETE", f"/servers/{server_id}/migrations/{number}", version="2.24")

    said = (
        f"Migration {number} state of instance {server_id} is queued."
        " Cannot abort live migration while the migration is in this state."
    )
    assert (early.status, early.message) == (HTTPStatus.BAD_REQUEST, said)
    assert (missing.status, missing.message) == (404, f"Migration 999 not found for instance {server_id}")
    assert late.status == HTTPStatus.CONFLICT


async def test_administrators_see_every_move(world: World) -> None:
    server_id, number = await migrating(world)
    other = await world.active(who="bob")
    resized = await world.moved(other, OTHER_HOST)

    async def found(query: str = "") -> list[int]:
        return [move["id"] for move in (await world.api.get(f"/os-migrations{query}", version="2.23"))["migrations"]]

    assert await found() == [resized, number]
    assert await found(f"?instance_uuid={server_id}") == [number]
    assert await found("?status=running") == [number]
    assert await found("?migration_type=resize") == [resized]
    assert await found(f"?host={OTHER_HOST}") == [resized]
    assert await found(f"?source_compute={HOST}") == [number]
    assert (await world.api.ask("GET", "/os-migrations", who="alice")).status == HTTPStatus.FORBIDDEN
    resize, live_one = (await world.api.get("/os-migrations", version="2.23"))["migrations"]
    assert (resize["migration_type"], resize["old_instance_type_id"], "links" in resize) == ("resize", 1, False)
    assert live_one["links"][0]["href"].endswith(f"/servers/{server_id}/migrations/{number}")
    (first, *_) = (await world.api.get("/os-migrations"))["migrations"]
    assert "migration_type" not in first
