"""What projects used, over HTTP, as clients of Nova see it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from novaflow.db.servers import Servers
from tests.support.clocks import ManualClock
from tests.support.compute_api import OTHER_PROJECT, PEOPLE, PROJECT, ComputeApi, compute_api
from tests.support.servers import a_host, a_server

NOON = datetime(2026, 8, 1, 12, tzinfo=UTC)
DAY = "start=2026-08-01T00:00:00&end=2026-08-02T00:00:00"


@pytest.fixture
async def api(tmp_path: Path) -> Any:
    async with compute_api(tmp_path, clock=ManualClock(NOON)) as running:
        await a_host(running, "c1")
        yield running


def after(api: ComputeApi, hours: float) -> None:
    assert isinstance(api.clock, ManualClock)
    api.clock.advance(timedelta(hours=hours))


async def test_a_server_is_counted_from_its_launch_until_now(api: ComputeApi) -> None:
    server = await a_server(api, host="c1", vcpus=2, ram_mb=512, disk_gb=3)
    after(api, 4)

    usage = (await api.get(f"/os-simple-tenant-usage/{PROJECT}?{DAY}", who="alice"))["tenant_usage"]

    assert usage == {
        "tenant_id": PROJECT,
        "start": "2026-08-01T00:00:00.000000",
        "stop": "2026-08-01T16:00:00.000000",
        "total_hours": 4.0,
        "total_vcpus_usage": 8.0,
        "total_memory_mb_usage": 2048.0,
        "total_local_gb_usage": 12.0,
        "server_usages": [
            {
                "instance_id": server.id,
                "name": server.name,
                "tenant_id": PROJECT,
                "flavor": server.flavor.name,
                "vcpus": 2,
                "memory_mb": 512,
                "local_gb": 3,
                "hours": 4.0,
                "uptime": 14400,
                "started_at": "2026-08-01T12:00:00.000000",
                "ended_at": None,
                "state": "active",
            }
        ],
    }


async def test_what_is_deleted_was_used_all_the_same(api: ComputeApi) -> None:
    server = await a_server(api, host="c1")
    after(api, 2)
    await Servers(api.database, api.clock).delete_locally(PEOPLE["alice"], server)
    after(api, 20)

    usage = (await api.get(f"/os-simple-tenant-usage/{PROJECT}?{DAY}"))["tenant_usage"]

    (one,) = usage["server_usages"]
    assert (one["state"], one["hours"], one["ended_at"]) == ("terminated", 2.0, "2026-08-01T14:00:00.000000")


async def test_a_project_that_used_nothing_has_nothing_to_show(api: ComputeApi) -> None:
    assert await api.get(f"/os-simple-tenant-usage/{PROJECT}?{DAY}", who="alice") == {"tenant_usage": {}}


async def test_administrators_see_every_project(api: ComputeApi) -> None:
    await a_server(api, host="c1")
    await a_server(api, host="c1", who="bob")
    after(api, 1)

    brief = (await api.get(f"/os-simple-tenant-usage?{DAY}"))["tenant_usages"]
    detailed = (await api.get(f"/os-simple-tenant-usage?{DAY}&detailed=1"))["tenant_usages"]

    assert {usage["tenant_id"]: usage["total_hours"] for usage in brief} == {PROJECT: 1.0, OTHER_PROJECT: 1.0}
    assert "server_usages" not in brief[0]
    assert len(detailed[0]["server_usages"]) == 1


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("start=yesterday", "Invalid datetime string: Datetime is in invalid format"),
        (
            "start=2026-08-02T00:00:00&end=2026-08-01T00:00:00",
            "Invalid start time. The start time cannot occur after the end time.",
        ),
        ("", "Invalid start time. The start time cannot occur after the end time."),
    ],
)
async def test_a_bad_period_is_refused(api: ComputeApi, query: str, said: str) -> None:
    reply = await api.ask("GET", f"/os-simple-tenant-usage?{query}")

    assert (reply.status, reply.message) == (400, said)


@pytest.mark.parametrize(("path", "rule"), [("", "list"), (f"/{OTHER_PROJECT}", "show")])
async def test_members_see_their_own_only(api: ComputeApi, path: str, rule: str) -> None:
    reply = await api.ask("GET", f"/os-simple-tenant-usage{path}?{DAY}", who="alice")

    said = f"Policy doesn't allow os_compute_api:os-simple-tenant-usage:{rule} to be performed."
    assert (reply.status, reply.message) == (403, said)
