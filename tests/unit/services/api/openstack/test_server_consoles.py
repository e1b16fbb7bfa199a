"""Looking at guests through the API: screens, pictures of them, diagnostics, crash dumps."""

from http import HTTPStatus
from typing import Any

import pytest

from novaflow.states import ACTIVE, SHUTOFF, Task, Vm, state_of
from tests.support.server_world import PNG, World

URL = "vnc://127.0.0.1:5901"


async def remote(world: World, server_id: str, protocol: str, kind: str, version: str = "2.6") -> Any:
    body = {"remote_console": {"protocol": protocol, "type": kind}}
    return await world.api.ask("POST", f"/servers/{server_id}/remote-consoles", body, who="alice", version=version)


async def test_a_screen_is_served_where_its_host_says(world: World) -> None:
    server_id = await world.active()

    old = await world.act(server_id, {"os-getVNCConsole": {"type": "novnc"}})
    new = await remote(world, server_id, "vnc", "novnc")

    assert (old.status, old.body) == (HTTPStatus.OK, {"console": {"type": "novnc", "url": URL}})
    shown = {"protocol": "vnc", "type": "novnc", "url": URL}
    assert (new.status, new.body) == (HTTPStatus.OK, {"remote_console": shown})


async def test_a_microversion_has_one_way_to_ask_for_a_screen(world: World) -> None:
    server_id = await world.active()

    old = await world.act(server_id, {"os-getVNCConsole": {"type": "novnc"}}, version="2.6")
    new = await remote(world, server_id, "vnc", "novnc", version="2.5")

    assert (old.status, new.status) == (HTTPStatus.NOT_FOUND, HTTPStatus.NOT_FOUND)


@pytest.mark.parametrize(
    ("action", "kind"),
    [("os-getSPICEConsole", "spice-html5"), ("os-getRDPConsole", "rdp-html5"), ("os-getSerialConsole", "serial")],
)
async def test_other_consoles_are_not_served(world: World, action: str, kind: str) -> None:
    server_id = await world.active()

    old = await world.act(server_id, {action: {"type": kind}})
    new = await remote(world, server_id, kind.split("-")[0], kind)

    for reply in (old, new):
        assert (reply.status, reply.message) == (HTTPStatus.BAD_REQUEST, f"Unavailable console type {kind}.")


@pytest.mark.parametrize(
    ("protocol", "kind", "version"), [("mks", "webmks", "2.7"), ("vnc", "x", "2.6"), ("x", "novnc", "2.6")]
)
async def test_what_is_no_console_is_a_400(world: World, protocol: str, kind: str, version: str) -> None:
    assert (await remote(world, await world.active(), protocol, kind, version)).status == HTTPStatus.BAD_REQUEST


async def test_a_guest_that_is_off_has_no_screen(world: World) -> None:
    server_id = await world.active()
    world.guests_are_off = True

    console = await remote(world, server_id, "vnc", "novnc")
    picture = await world.api.ask("GET", f"/servers/{server_id}/os-novaflow-screenshot", who="alice")

    assert (console.status, console.message) == (HTTPStatus.CONFLICT, f"Instance {server_id} is not ready")
    assert picture.status == HTTPStatus.CONFLICT


@pytest.mark.parametrize("task", [Task.DELETING, Task.MIGRATING])
async def test_a_screen_is_not_shown_on_the_way(world: World, task: Task) -> None:
    server_id = await world.active()
    await world.put(server_id, state_of(Vm.ACTIVE, task))

    console = await world.act(server_id, {"os-getVNCConsole": {"type": "novnc"}})
    picture = await world.api.ask("GET", f"/servers/{server_id}/os-novaflow-screenshot", who="alice")

    said = f"Cannot 'get_vnc_console' instance {server_id} while it is in task_state {task}"
    assert (console.status, console.message) == (HTTPStatus.CONFLICT, said)
    assert picture.status == HTTPStatus.CONFLICT


async def test_the_screen_is_a_picture(world: World) -> None:
    server_id = await world.active()
    path = f"/servers/{server_id}/os-novaflow-screenshot"

    reply = await world.api.ask("GET", path, who="alice")

    assert (reply.status, reply.headers["Content-Type"], reply.body) == (HTTPStatus.OK, "image/png", PNG)
    assert (await world.api.ask("GET", path, who="bob")).status == HTTPStatus.NOT_FOUND


async def test_diagnostics_are_for_administrators(world: World) -> None:
    server_id = await world.active()
    path = f"/servers/{server_id}/diagnostics"

    shown = await world.api.get(path)
    refused = await world.api.ask("GET", path, who="alice")

    assert shown == {
        "cpu0_time": 17,
        "memory": 524288,
        "memory-rss": 1024,
        "vda_read": 1,
        "vda_read_req": 2,
        "vda_write": 3,
        "vda_write_req": 4,
        "vda_errors": 0,
        "fa:16:3e:00:00:01_rx": 5,
        "fa:16:3e:00:00:01_rx_packets": 6,
        "fa:16:3e:00:00:01_rx_errors": 0,
        "fa:16:3e:00:00:01_rx_drop": 0,
        "fa:16:3e:00:00:01_tx": 7,
        "fa:16:3e:00:00:01_tx_packets": -1,
        "fa:16:3e:00:00:01_tx_errors": -1,
        "fa:16:3e:00:00:01_tx_drop": -1,
    }
    said = "Policy doesn't allow os_compute_api:os-server-diagnostics to be performed."
    assert (refused.status, refused.message) == (HTTPStatus.FORBIDDEN, said)


async def test_nothing_is_counted_of_a_guest_that_is_off(world: World) -> None:
    server_id = await world.active()
    world.guests_are_off = True

    reply = await world.api.ask("GET", f"/servers/{server_id}/diagnostics")

    said = f"Cannot 'get_diagnostics' instance {server_id} while it is in power state 1"
    assert (reply.status, reply.message) == (HTTPStatus.CONFLICT, said)


async def test_a_crash_dump_exists_since_2_17(world: World) -> None:
    server_id = await world.active()
    body = {"trigger_crash_dump": None}

    early = await world.act(server_id, body, version="2.16")
    done = await world.act(server_id, body, version="2.17")

    assert (early.status, done.status, world.dumped) == (HTTPStatus.NOT_FOUND, HTTPStatus.ACCEPTED, [server_id])
    assert (await world.servers.get(server_id)).state == ACTIVE


async def test_only_a_guest_that_runs_can_crash(world: World) -> None:
    server_id = await world.active()
    body = {"trigger_crash_dump": None}
    await world.put(server_id, SHUTOFF)

    stopped = await world.act(server_id, body, version="2.17")
    await world.put(server_id, state_of(Vm.ACTIVE, Task.REBOOTING))
    busy = await world.act(server_id, body, version="2.17")
    await world.put(server_id, ACTIVE)
    await world.act(server_id, {"lock": None})
    locked = await world.act(server_id, body, version="2.17")

    where = f"Cannot 'trigger_crash_dump' instance {server_id} while it is in"
    assert (stopped.status, stopped.message) == (HTTPStatus.CONFLICT, f"{where} vm_state stopped")
    assert (busy.status, busy.message) == (HTTPStatus.CONFLICT, f"{where} task_state rebooting")
    assert (locked.status, locked.message) == (HTTPStatus.CONFLICT, f"Instance {server_id} is locked")
    assert world.dumped == []
