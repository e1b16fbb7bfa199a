"""The ends of servers at the API: deleted for good, deleted for a while, restored; and locks."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path

import pytest

from novaflow.config import Compute, Config
from novaflow.db.moving import LIVE
from novaflow.db.quotas import Quotas
from novaflow.messages import REMOVE_LEFTOVERS, RESTORE_INSTANCE, SOFT_DELETE_INSTANCE, TERMINATE_INSTANCE
from novaflow.quotas import QuotaLimits
from novaflow.states import RESIZED, SOFT_DELETED, Event, Power, State, Task, Vm, state_of
from tests.support.compute_api import PROJECT
from tests.support.server_world import HOST, OTHER_HOST, World, server_world

KEEPING = Config(compute=Compute(reclaim_instance_interval=3600.0), quota=QuotaLimits(instances=1))


@pytest.fixture
async def keeping(tmp_path: Path) -> AsyncIterator[World]:
    """A world that keeps deleted servers for an hour, and where a project has one server."""
    (tmp_path / "keeping").mkdir()
    async with server_world(tmp_path / "keeping", KEEPING) as world:
        yield world


async def delete(world: World, server_id: str, who: str = "alice") -> int:
    return (await world.api.ask("DELETE", f"/servers/{server_id}", who=who)).status


async def put_away(world: World) -> str:
    server_id = await world.active()
    assert await delete(world, server_id) == HTTPStatus.NO_CONTENT
    name, order = await world.order()
    assert name == SOFT_DELETE_INSTANCE.method
    await world.servers.advance(server_id, order.task_id, Event.SOFT_DELETED, host=HOST, power=Power.SHUTDOWN)
    return server_id


async def instances(world: World) -> int:
    return (await Quotas(world.api.database).usage(PROJECT, "alice-id")).instances


async def test_where_servers_are_kept_a_delete_puts_them_away_and_a_restore_brings_them_back(keeping: World) -> None:
    server_id = await put_away(keeping)
    shown, counted = await keeping.show(server_id), await instances(keeping)

    reply = await keeping.act(server_id, {"restore": None})

    assert (shown["status"], counted) == ("SOFT_DELETED", 0)
    assert (reply.status, (await keeping.order())[0]) == (HTTPStatus.ACCEPTED, RESTORE_INSTANCE.method)
    assert await instances(keeping) == 1


async def test_a_restore_needs_its_quota(keeping: World) -> None:
    server_id = await put_away(keeping)
    await keeping.active()

    reply = await keeping.act(server_id, {"restore": None})

    assert (reply.status, await instances(keeping)) == (HTTPStatus.FORBIDDEN, 1)
    assert reply.message == "Quota exceeded for instances: Requested 1, but already used 1 of 1 instances"
    assert (await keeping.servers.get(server_id)).state == SOFT_DELETED


async def test_deleting_twice_does_not_delete_for_good(keeping: World) -> None:
    server_id = await put_away(keeping)

    assert await delete(keeping, server_id) == HTTPStatus.NO_CONTENT

    assert (await keeping.servers.get(server_id)).state == SOFT_DELETED
    assert keeping.orders.empty()


async def test_what_is_put_away_can_be_deleted_for_good(keeping: World) -> None:
    server_id = await put_away(keeping)

    reply = await keeping.act(server_id, {"forceDelete": None})

    assert (reply.status, (await keeping.order())[0]) == (HTTPStatus.ACCEPTED, TERMINATE_INSTANCE.method)
    assert (await keeping.servers.actions(server_id))[0].action == "forceDelete"


async def test_what_was_never_active_is_not_kept(keeping: World) -> None:
    server_id = await keeping.created()

    assert await delete(keeping, server_id) == HTTPStatus.NO_CONTENT
    assert (await keeping.api.ask("GET", f"/servers/{server_id}", who="alice")).status == HTTPStatus.NOT_FOUND


async def test_what_is_busy_is_not_kept(keeping: World) -> None:
    server_id = await keeping.active()
    await keeping.put(server_id, state_of(Vm.ACTIVE, Task.POWERING_OFF))

    assert await delete(keeping, server_id) == HTTPStatus.NO_CONTENT

    assert (await keeping.order())[0] == TERMINATE_INSTANCE.method


@pytest.mark.parametrize("state", [RESIZED, state_of(Vm.ACTIVE, Task.MIGRATING)])
async def test_a_server_that_moves_is_cleared_away_on_both_hosts(world: World, state: State) -> None:
    server_id = await world.active()
    await world.moved(server_id, OTHER_HOST, LIVE)
    await world.put(server_id, state)

    assert await delete(world, server_id) == HTTPStatus.NO_CONTENT

    orders = {(await world.order())[0], (await world.order())[0]}
    assert orders == {TERMINATE_INSTANCE.method, REMOVE_LEFTOVERS.method}
    assert sorted(world.heard_at) == [HOST, OTHER_HOST]


async def test_a_dead_host_clears_nothing_away_but_the_other_one_does(world: World) -> None:
    server_id = await world.active()
    await world.moved(server_id, OTHER_HOST)
    await world.put(server_id, RESIZED)
    await world.goes_down()

    assert await delete(world, server_id) == HTTPStatus.NO_CONTENT

    name, _ = await world.order()
    assert (name, world.heard_at) == (REMOVE_LEFTOVERS.method, [OTHER_HOST])
    assert (await world.api.ask("GET", f"/servers/{server_id}", who="alice")).status == HTTPStatus.NOT_FOUND


@pytest.mark.parametrize("is_up", [True, False])
async def test_a_lock_keeps_a_server_from_its_end(world: World, is_up: object) -> None:
    server_id = await world.active()
    await world.act(server_id, {"lock": None})
    if not is_up:
        await world.goes_down()

    assert await delete(world, server_id) == HTTPStatus.CONFLICT
    assert (await world.act(server_id, {"forceDelete": None})).status == HTTPStatus.CONFLICT
    assert await delete(world, server_id, who="admin") == HTTPStatus.NO_CONTENT


async def test_a_lock_is_an_action_and_is_shown(world: World) -> None:
    server_id = await world.active()

    locked = await world.act(server_id, {"lock": None})
    shown = await world.show(server_id, version="2.9")
    unlocked = await world.act(server_id, {"unlock": None})

    assert (locked.status, unlocked.status, shown["locked"]) == (HTTPStatus.ACCEPTED, HTTPStatus.ACCEPTED, True)
    assert (await world.show(server_id, version="2.9"))["locked"] is False
    assert "locked" not in await world.show(server_id, version="2.8")
    actions = await world.servers.actions(server_id)
    assert [(action.action, action.state) for action in actions[:2]] == [("unlock", "done"), ("lock", "done")]
    assert actions[0].request_id == unlocked.headers["X-Compute-Request-Id"]


async def test_an_owner_cannot_open_an_administrators_lock(world: World) -> None:
    server_id = await world.active()
    await world.act(server_id, {"lock": None}, who="admin")

    again = await world.act(server_id, {"lock": None})
    refused = await world.act(server_id, {"unlock": None})
    opened = await world.act(server_id, {"unlock": None}, who="admin")

    rule = "os_compute_api:os-lock-server:unlock:unlock_override"
    assert again.status == HTTPStatus.ACCEPTED
    assert (refused.status, refused.message) == (
        HTTPStatus.FORBIDDEN,
        f"Policy doesn't allow {rule} to be performed.",
    )
    assert opened.status == HTTPStatus.ACCEPTED


async def test_an_unlocked_server_can_be_unlocked(world: World) -> None:
    assert (await world.act(await world.active(), {"unlock": None})).status == HTTPStatus.ACCEPTED


@pytest.mark.parametrize("action", ["lock", "unlock", "restore", "forceDelete"])
async def test_other_projects_servers_are_not_there(world: World, action: str) -> None:
    assert (await world.act(await world.active(), {action: None}, who="bob")).status == HTTPStatus.NOT_FOUND


@pytest.mark.parametrize("action", ["resetNetwork", "injectNetworkInfo"])
async def test_there_is_nothing_to_mend_in_the_network(world: World, action: str) -> None:
    server_id = await world.active()

    assert (await world.act(server_id, {action: None}, who="admin")).status == HTTPStatus.ACCEPTED
    assert world.orders.empty()


@pytest.mark.parametrize("body", [None, {}, {"state": "paused"}, {"state": "active", "why": "x"}])
async def test_a_state_is_active_or_error(world: World, body: object) -> None:
    reply = await world.act(await world.active(), {"os-resetState": body}, who="admin")

    assert reply.status == HTTPStatus.BAD_REQUEST
