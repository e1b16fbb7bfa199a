"""Services and zones over HTTP, as clients of Nova see them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from novaflow.db.services import Services
from tests.support.clocks import ManualClock
from tests.support.compute_api import ComputeApi, compute_api
from tests.support.servers import a_host, a_server

NOON = datetime(2026, 8, 1, 12, tzinfo=UTC)


@pytest.fixture
async def api(tmp_path: Path) -> Any:
    clock = ManualClock(NOON)
    async with compute_api(tmp_path, clock=clock) as running:
        services = Services(running.database, clock)
        await services.beat("nova-scheduler", "control", "internal")
        await services.beat("nova-conductor", "control", "internal")
        for host in ("c1", "c2"):
            await a_host(running, host)
        yield running


async def listed(api: ComputeApi, query: str = "", version: str = "2.1") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await api.get(f"/os-services{query}", version=version))["services"]
    return found


async def one(api: ComputeApi, host: str = "c1", version: str = "2.11") -> dict[str, Any]:
    (found,) = await listed(api, f"?host={host}&binary=nova-compute", version)
    return found


async def put(api: ComputeApi, action: str, version: str = "2.11", **fields: object) -> Any:
    body = {"host": "c1", "binary": "nova-compute", **fields}
    return await api.ask("PUT", f"/os-services/{action}", body, version=version)


async def test_a_service_is_shown_as_nova_shows_it(api: ComputeApi) -> None:
    found = await one(api, version="2.1")

    assert isinstance(found.pop("id"), int)
    assert found == {
        "binary": "nova-compute",
        "host": "c1",
        "zone": "nova",
        "status": "enabled",
        "state": "up",
        "updated_at": "2026-08-01T12:00:00.000000",
        "disabled_reason": None,
    }


async def test_forced_down_is_shown_since_2_11(api: ComputeApi) -> None:
    assert (await one(api))["forced_down"] is False
    assert "forced_down" not in await one(api, version="2.10")


@pytest.mark.parametrize(
    ("query", "hosts"),
    [
        ("", ["c1", "c2", "control", "control"]),
        ("?host=c2", ["c2"]),
        ("?binary=nova-scheduler", ["control"]),
        ("?host=control&binary=nova-compute", []),
    ],
)
async def test_lists_are_filtered(api: ComputeApi, query: str, hosts: list[str]) -> None:
    assert sorted(service["host"] for service in await listed(api, query)) == hosts


async def test_a_service_that_is_silent_is_down(api: ComputeApi) -> None:
    assert isinstance(api.clock, ManualClock)
    api.clock.advance(timedelta(seconds=61))

    assert {service["state"] for service in await listed(api)} == {"down"}


async def test_what_is_disabled_says_why_until_it_is_enabled(api: ComputeApi) -> None:
    disabled = await put(api, "disable-log-reason", disabled_reason="new disk")
    seen = await one(api)
    enabled = await put(api, "enable")
    again = await one(api)

    facts = {"host": "c1", "binary": "nova-compute"}
    assert disabled.body == {"service": {**facts, "status": "disabled", "disabled_reason": "new disk"}}
    assert (seen["status"], seen["disabled_reason"]) == ("disabled", "new disk")
    assert enabled.body == {"service": {**facts, "status": "enabled"}}
    assert (again["status"], again["disabled_reason"]) == ("enabled", None)
    assert (await one(api, "c2"))["status"] == "enabled"


async def test_disabling_needs_no_reason(api: ComputeApi) -> None:
    reply = await put(api, "disable", version="2.1")

    assert reply.body == {"service": {"host": "c1", "binary": "nova-compute", "status": "disabled"}}
    assert (await one(api))["status"] == "disabled"


async def test_what_is_forced_down_is_down_whatever_it_says(api: ComputeApi) -> None:
    forced = await put(api, "force-down", forced_down=True)
    seen = await one(api)
    await put(api, "force-down", forced_down="false")

    assert forced.body == {"service": {"host": "c1", "binary": "nova-compute", "forced_down": True}}
    assert (seen["state"], seen["forced_down"]) == ("down", True)
    assert (await one(api))["state"] == "up"


@pytest.mark.parametrize(
    ("action", "version", "fields", "status", "said"),
    [
        ("disable-log-reason", "2.11", {}, 400, "Missing disabled reason field"),
        ("disable-log-reason", "2.11", {"disabled_reason": ""}, 400, "disabled_reason"),
        ("force-down", "2.11", {}, 400, "Missing forced_down field"),
        ("force-down", "2.11", {"forced_down": "perhaps"}, 400, "forced_down"),
        ("force-down", "2.10", {}, 404, "Unknown action"),
        ("enable", "2.10", {"forced_down": True}, 400, "'forced_down' was unexpected"),
        ("paint", "2.11", {}, 404, "Unknown action"),
        ("enable", "2.11", {"host": "nope"}, 404, "Could not find binary nova-compute on host nope."),
        ("enable", "2.11", {"host": "a b"}, 400, "host"),
        ("enable", "2.11", {"host": 5}, 400, "host"),
        (
            "disable",
            "2.11",
            {"host": "control", "binary": "nova-scheduler"},
            400,
            "Updating a nova-scheduler service is not supported. Only nova-compute services can be updated.",
        ),
    ],
)
async def test_what_cannot_be_done_is_refused(
    api: ComputeApi, action: str, version: str, fields: dict[str, object], status: int, said: str
) -> None:
    before = await listed(api)

    reply = await put(api, action, version, **fields)

    assert reply.status == status
    assert said in reply.message
    assert await listed(api) == before


async def test_a_service_that_is_gone_for_good_is_forgotten(api: ComputeApi) -> None:
    number = (await one(api))["id"]

    first = await api.ask("DELETE", f"/os-services/{number}")
    second = await api.ask("DELETE", f"/os-services/{number}")

    assert (first.status, first.body) == (204, None)
    assert (second.status, second.message) == (404, f"Service {number} not found.")
    assert await listed(api, "?host=c1") == []


async def test_a_service_whose_host_has_servers_is_kept(api: ComputeApi) -> None:
    await a_server(api, host="c1")

    reply = await api.ask("DELETE", f"/os-services/{(await one(api))['id']}")

    said = "Unable to delete compute service that is hosting instances. Migrate or delete the instances first."
    assert (reply.status, reply.message) == (409, said)
    assert (await one(api))["state"] == "up"


async def test_a_service_is_deleted_by_its_number(api: ComputeApi) -> None:
    assert (await api.ask("DELETE", "/os-services/c1")).status == 400


@pytest.mark.parametrize(
    ("method", "path", "rule"),
    [
        ("GET", "/os-services", "os-services:list"),
        ("PUT", "/os-services/enable", "os-services:update"),
        ("DELETE", "/os-services/1", "os-services:delete"),
        ("GET", "/os-availability-zone/detail", "os-availability-zone:detail"),
        ("GET", "/os-hosts", "os-hosts:list"),
        ("GET", "/os-hosts/c1", "os-hosts:show"),
        ("GET", "/os-aggregates", "os-aggregates:index"),
    ],
)
async def test_all_of_it_is_for_administrators(api: ComputeApi, method: str, path: str, rule: str) -> None:
    body = {"host": "c1", "binary": "nova-compute"} if method == "PUT" else None

    reply = await api.ask(method, path, body, who="alice")

    said = f"Policy doesn't allow os_compute_api:{rule} to be performed."
    assert (reply.status, reply.message) == (403, said)


class TestZones:
    async def test_everyone_sees_where_servers_can_be_put(self, api: ComputeApi) -> None:
        zone = {"zoneName": "nova", "zoneState": {"available": True}, "hosts": None}

        assert await api.get("/os-availability-zone", who="alice") == {"availabilityZoneInfo": [zone]}

    async def test_a_zone_without_an_enabled_service_is_not_available(self, api: ComputeApi) -> None:
        for host in ("c1", "c2"):
            await put(api, "disable", host=host)

        (zone,) = (await api.get("/os-availability-zone", who="alice"))["availabilityZoneInfo"]

        assert zone["zoneState"] == {"available": False}

    async def test_administrators_see_the_services_in_each(self, api: ComputeApi) -> None:
        await put(api, "disable", host="c2")

        zones = (await api.get("/os-availability-zone/detail"))["availabilityZoneInfo"]

        facts = {"available": True, "active": True, "updated_at": "2026-08-01T12:00:00.000000"}
        assert sorted(zones, key=lambda zone: str(zone["zoneName"])) == [
            {
                "zoneName": "internal",
                "zoneState": {"available": True},
                "hosts": {"control": {"nova-scheduler": facts, "nova-conductor": facts}},
            },
            {"zoneName": "nova", "zoneState": {"available": True}, "hosts": {"c1": {"nova-compute": facts}}},
        ]


class TestHosts:
    async def test_the_machines_are_listed_with_what_runs_on_them(self, api: ComputeApi) -> None:
        await put(api, "disable", host="c2")

        hosts = (await api.get("/os-hosts"))["hosts"]

        assert sorted((host["host_name"], host["service"], host["zone"]) for host in hosts) == [
            ("c1", "compute", "nova"),
            ("control", "conductor", "internal"),
            ("control", "scheduler", "internal"),
        ]

    async def test_they_are_filtered_by_zone(self, api: ComputeApi) -> None:
        hosts = (await api.get("/os-hosts?zone=nova"))["hosts"]

        assert sorted(host["host_name"] for host in hosts) == ["c1", "c2"]

    async def test_one_is_shown_with_what_each_project_was_promised(self, api: ComputeApi) -> None:
        server = await a_server(api, host="c1", vcpus=2, ram_mb=512, disk_gb=3)

        rows = [entry["resource"] for entry in (await api.get("/os-hosts/c1"))["host"]]

        assert [row["project"] for row in rows] == ["(total)", "(used_now)", "(used_max)", server.project_id]
        assert [(row["cpu"], row["memory_mb"], row["disk_gb"]) for row in rows[1:]] == [(2, 512, 3)] * 3
        assert {row["host"] for row in rows} == {"c1"}

    async def test_one_that_is_not_there_is_named(self, api: ComputeApi) -> None:
        reply = await api.ask("GET", "/os-hosts/nope")

        assert (reply.status, reply.message) == (404, "Compute host nope could not be found.")
