"""What was done to a server, over HTTP, as clients of Nova see it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from novaflow.db.servers import Servers
from novaflow.models import Context
from novaflow.states import Event
from tests.support.clocks import ManualClock
from tests.support.compute_api import PEOPLE, PROJECT, ComputeApi, compute_api
from tests.support.servers import a_host, a_server

NOON = datetime(2026, 8, 1, 12, tzinfo=UTC)
CREATED = "req-11111111-1111-1111-1111-111111111111"
STOPPED = "req-22222222-2222-2222-2222-222222222222"


@pytest.fixture
async def api(tmp_path: Path) -> Any:
    async with compute_api(tmp_path, clock=ManualClock(NOON)) as running:
        yield running


@pytest.fixture
async def server_id(api: ComputeApi) -> str:
    """A server that was created and, a minute later, stopped."""
    clock = api.clock
    assert isinstance(clock, ManualClock)
    servers = Servers(api.database, clock)
    await a_host(api, "c1")
    server = await a_server(api, host="c1", request_id=CREATED)
    clock.advance(timedelta(seconds=61.5))
    await servers.order(who(STOPPED), server, "stop", Event.STOP_ORDERED)
    return server.id


def who(request_id: str) -> Context:
    """Alice, with this request."""
    return msgspec.structs.replace(PEOPLE["alice"], request_id=request_id)


async def test_the_latest_comes_first(api: ComputeApi, server_id: str) -> None:
    found = await api.get(f"/servers/{server_id}/os-instance-actions", who="alice")

    assert [action["action"] for action in found["instanceActions"]] == ["stop", "create"]
    assert found["instanceActions"][0] == {
        "action": "stop",
        "instance_uuid": server_id,
        "request_id": STOPPED,
        "user_id": "alice-id",
        "project_id": PROJECT,
        "start_time": "2026-08-01T12:01:01.500000",
        "message": None,
    }


async def test_administrators_see_the_steps(api: ComputeApi, server_id: str) -> None:
    shown = (await api.get(f"/servers/{server_id}/os-instance-actions/{CREATED}"))["instanceAction"]

    assert shown["action"] == "create"
    assert shown["events"] == [
        {
            "event": "compute__do_build_and_run_instance",
            "start_time": "2026-08-01T12:00:00.000000",
            "finish_time": "2026-08-01T12:00:00.000000",
            "result": "Success",
            "traceback": None,
        }
    ]


async def test_others_see_the_action_alone(api: ComputeApi, server_id: str) -> None:
    shown = await api.get(f"/servers/{server_id}/os-instance-actions/{CREATED}", who="alice")

    assert "events" not in shown["instanceAction"]


async def test_a_request_that_did_nothing_to_it_is_not_found(api: ComputeApi, server_id: str) -> None:
    reply = await api.ask("GET", f"/servers/{server_id}/os-instance-actions/req-nope", who="alice")

    assert (reply.status, reply.message) == (404, "Action req-nope not found")


@pytest.mark.parametrize("path", ["", f"/{CREATED}"])
async def test_a_server_of_others_is_not_there(api: ComputeApi, server_id: str, path: str) -> None:
    reply = await api.ask("GET", f"/servers/{server_id}/os-instance-actions{path}", who="bob")

    assert (reply.status, reply.message) == (404, f"Instance {server_id} could not be found.")


async def test_what_was_done_to_a_deleted_server_is_told_since_2_21(api: ComputeApi, server_id: str) -> None:
    assert isinstance(api.clock, ManualClock)
    api.clock.advance(timedelta(seconds=60))
    servers = Servers(api.database, api.clock)
    await servers.delete_locally(who("req-33333333-3333-3333-3333-333333333333"), await servers.get(server_id))
    path = f"/servers/{server_id}/os-instance-actions"

    found = await api.get(path, who="alice", version="2.21")
    before = await api.ask("GET", path, who="alice", version="2.20")

    assert [action["action"] for action in found["instanceActions"]] == ["delete", "stop", "create"]
    assert before.status == 404
    assert (await api.ask("GET", f"{path}/{CREATED}", who="alice", version="2.20")).status == 404
    assert (await api.get(f"{path}/{CREATED}", who="alice", version="2.21"))["instanceAction"]["action"] == "create"
