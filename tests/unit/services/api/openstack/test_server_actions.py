"""POST /servers/{id}/action: which actions there are, when they are accepted, and what the host is told."""

from http import HTTPStatus
from typing import Any

import pytest

from novaflow.messages import REBOOT_INSTANCE, START_INSTANCE, STOP_INSTANCE, RebootOrder
from novaflow.models import Fault
from novaflow.states import Event, Power
from tests.support.server_world import HOST, World

START: dict[str, Any] = {"os-start": None}
STOP: dict[str, Any] = {"os-stop": None}
SOFT = {"reboot": {"type": "SOFT"}}
HARD = {"reboot": {"type": "HARD"}}


async def stopped(world: World) -> str:
    server_id = await world.active()
    assert (await world.act(server_id, STOP)).status == HTTPStatus.ACCEPTED
    _, order = await world.order()
    await world.servers.advance(server_id, order.task_id, Event.STOPPED, host=HOST, power=Power.SHUTDOWN)
    return server_id


async def in_error(world: World) -> str:
    """A server that found no host."""
    server_id = await world.created()
    task_id = (await world.servers.get(server_id)).task_id or ""
    await world.servers.advance(server_id, task_id, Event.BUILD_FAILED, fault=Fault(code=500, message="none"))
    return server_id


async def test_stop_and_start_are_ordered_at_the_host(world: World) -> None:
    server_id = await world.active()

    stop = await world.act(server_id, STOP)
    shown = await world.show(server_id)
    stop_name, stop_order = await world.order()
    await world.servers.advance(server_id, stop_order.task_id, Event.STOPPED, host=HOST, power=Power.SHUTDOWN)
    start = await world.act(server_id, START)
    start_name, start_order = await world.order()

    assert (stop.status, stop.body, start.status) == (HTTPStatus.ACCEPTED, None, HTTPStatus.ACCEPTED)
    assert (stop_name, start_name) == (STOP_INSTANCE.method, START_INSTANCE.method)
    assert (shown["status"], shown["OS-EXT-STS:task_state"]) == ("ACTIVE", "powering-off")
    assert stop_order.context.request_id == stop.headers["X-Compute-Request-Id"]
    assert start_order.task_id == (await world.servers.get(server_id)).task_id
    assert (await world.show(server_id))["status"] == "SHUTOFF"


@pytest.mark.parametrize(
    ("kind", "is_hard", "status"),
    [("SOFT", False, "REBOOT"), ("Hard", True, "HARD_REBOOT"), ("hard", True, "HARD_REBOOT")],
)
async def test_a_reboot_is_soft_or_hard(world: World, kind: str, is_hard: object, status: str) -> None:
    server_id = await world.active()

    assert (await world.act(server_id, {"reboot": {"type": kind}})).status == HTTPStatus.ACCEPTED

    name, order = await world.order()
    assert name == REBOOT_INSTANCE.method
    assert isinstance(order, RebootOrder)
    assert order.hard is is_hard
    assert (await world.show(server_id))["status"] == status


async def test_a_hard_reboot_takes_over_from_a_soft_one(world: World) -> None:
    server_id = await world.active()
    await world.act(server_id, SOFT)

    again = await world.act(server_id, SOFT)
    hard = await world.act(server_id, HARD)

    assert again.status == HTTPStatus.CONFLICT
    assert again.message == f"Cannot 'reboot' instance {server_id} while it is in task_state rebooting"
    assert hard.status == HTTPStatus.ACCEPTED


async def test_the_table_says_what_may_be_done_when(world: World) -> None:
    active, off, building = await world.active(), await stopped(world), await world.created()
    await world.place(building)

    for server_id, body, said in (
        (active, START, f"Cannot 'start' instance {active} while it is in vm_state active"),
        (off, STOP, f"Cannot 'stop' instance {off} while it is in vm_state stopped"),
        (off, SOFT, f"Cannot 'reboot' instance {off} while it is in vm_state stopped"),
        (building, STOP, f"Cannot 'stop' instance {building} while it is in vm_state building"),
        (building, HARD, f"Cannot 'reboot' instance {building} while it is in vm_state building"),
    ):
        reply = await world.act(server_id, body)
        assert (reply.status, list(reply.body)) == (HTTPStatus.CONFLICT, ["conflictingRequest"])
        assert reply.message == said
    assert world.orders.empty()


@pytest.mark.parametrize("body", [START, STOP, {"os-getConsoleOutput": {}}])
async def test_a_server_without_a_host_is_not_ready(world: World, body: object) -> None:
    server_id = await in_error(world)

    reply = await world.act(server_id, body)

    assert (reply.status, reply.message) == (HTTPStatus.CONFLICT, f"Instance {server_id} is not ready")


@pytest.mark.parametrize("body", [START, STOP, SOFT, HARD, {"os-getConsoleOutput": {}}])
async def test_other_projects_servers_cannot_be_acted_on(world: World, body: object) -> None:
    server_id = await world.active()

    reply = await world.act(server_id, body, who="bob")

    assert (reply.status, reply.message) == (HTTPStatus.NOT_FOUND, f"Instance {server_id} could not be found.")
    assert (await world.show(server_id))["OS-EXT-STS:task_state"] is None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"fly": None}, "There is no such action: fly"),
        ({"addFixedIp": {"networkId": "1"}}, "There is no such action: addFixedIp"),
        ({}, "Malformed request body"),
        ({"os-start": None, "os-stop": None}, "Malformed request body"),
        ([], "Malformed request body"),
        ({"reboot": {}}, "Invalid input for field/attribute reboot. Value: {}. 'type' is a required property"),
        ({"reboot": None}, "Invalid input for field/attribute reboot. Value: None. None is not of type 'object'"),
        ({"reboot": {"type": "FAST"}}, "Invalid input for field/attribute type. Value: FAST. 'FAST' is not one of ["),
        ({"os-getConsoleOutput": {"length": -2}}, "Invalid input for field/attribute length. Value: -2."),
        ({"os-getConsoleOutput": {"size": 1}}, "Invalid input for field/attribute os-getConsoleOutput."),
    ],
)
async def test_what_is_no_action_is_a_400(world: World, body: object, said: str) -> None:
    reply = await world.act(await world.active(), body)

    assert reply.status == HTTPStatus.BAD_REQUEST
    assert reply.message.startswith(said)


@pytest.mark.parametrize(
    ("asked", "lines"),
    [({}, None), ({"length": None}, None), ({"length": -1}, None), ({"length": 5}, 5), ({"length": "5"}, 5)],
)
async def test_the_console_is_read_from_the_host(world: World, asked: object, lines: int | None) -> None:
    server_id = await world.active()

    reply = await world.act(server_id, {"os-getConsoleOutput": asked})

    assert (reply.status, reply.body) == (HTTPStatus.OK, {"output": "login:[0m\n"})
    (ask,) = world.console
    assert (ask.server_id, ask.lines) == (server_id, lines)


async def test_an_order_that_could_not_be_sent_stays_recorded(world: World) -> None:
    server_id = await world.active()
    await world.api.transport.close()

    reply = await world.act(server_id, STOP)

    assert reply.status == HTTPStatus.ACCEPTED
    assert (await world.show(server_id))["OS-EXT-STS:task_state"] == "powering-off"
    (latest, _create) = await world.servers.actions(server_id)
    assert (latest.action, latest.state) == ("stop", "running")


async def test_a_console_whose_host_cannot_be_asked_is_unavailable(world: World) -> None:
    server_id = await world.active()
    await world.api.transport.close()

    reply = await world.act(server_id, {"os-getConsoleOutput": {}})

    assert (reply.status, list(reply.body)) == (HTTPStatus.SERVICE_UNAVAILABLE, ["serviceUnavailable"])
