"""Hypervisors over HTTP, as clients of Nova see them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.clocks import ManualClock
from tests.support.compute_api import ComputeApi, compute_api
from tests.support.servers import a_host, a_server

NOON = datetime(2026, 8, 1, 12, tzinfo=UTC)


@pytest.fixture
async def api(tmp_path: Path) -> Any:
    async with compute_api(tmp_path, clock=ManualClock(NOON)) as running:
        for host in ("c1", "c2", "d1"):
            await a_host(running, host, vcpus=4, ram_mb=8192, disk_gb=100)
        yield running


async def number(api: ComputeApi, name: str = "c1") -> int:
    found = (await api.get("/os-hypervisors"))["hypervisors"]
    (the_id,) = [hypervisor["id"] for hypervisor in found if hypervisor["hypervisor_hostname"] == name]
    assert isinstance(the_id, int)
    return the_id


async def names(api: ComputeApi, path: str, version: str = "2.1") -> list[str]:
    found = (await api.get(path, version=version))["hypervisors"]
    return [hypervisor["hypervisor_hostname"] for hypervisor in found]


async def test_a_list_in_brief_says_who_is_there(api: ComputeApi) -> None:
    first, *_ = (await api.get("/os-hypervisors"))["hypervisors"]

    assert first == {"id": await number(api), "hypervisor_hostname": "c1", "state": "up", "status": "enabled"}


async def test_one_is_shown_with_what_it_has_and_what_is_taken(api: ComputeApi) -> None:
    await a_server(api, host="c1", vcpus=2, ram_mb=512, disk_gb=3)
    the_id = await number(api)

    shown = (await api.get(f"/os-hypervisors/{the_id}", version="2.28"))["hypervisor"]

    assert shown == {
        "id": the_id,
        "hypervisor_hostname": "c1",
        "state": "up",
        "status": "enabled",
        "hypervisor_type": "QEMU",
        "hypervisor_version": 7002000,
        "host_ip": "127.0.0.1",
        "service": {"id": the_id, "host": "c1", "disabled_reason": None},
        "vcpus": 4,
        "vcpus_used": 2,
        "memory_mb": 8192,
        "memory_mb_used": 512,
        "free_ram_mb": 7680,
        "local_gb": 100,
        "local_gb_used": 3,
        "free_disk_gb": 97,
        "disk_available_least": 97,
        "running_vms": 1,
        "current_workload": 0,
        "cpu_info": {"arch": "x86_64", "model": "qemu64"},
    }


async def test_a_list_in_detail_shows_the_same(api: ComputeApi) -> None:
    details = (await api.get("/os-hypervisors/detail"))["hypervisors"]

    assert len(details) == 3
    for detail in details:
        assert await api.get(f"/os-hypervisors/{detail['id']}") == {"hypervisor": detail}


async def test_the_processor_is_a_string_until_2_28(api: ComputeApi) -> None:
    old = (await api.get("/os-hypervisors/detail", version="2.27"))["hypervisors"][0]["cpu_info"]
    new = (await api.get("/os-hypervisors/detail", version="2.28"))["hypervisors"][0]["cpu_info"]

    assert json.loads(old) == new


async def test_one_that_is_silent_is_down(api: ComputeApi) -> None:
    assert isinstance(api.clock, ManualClock)
    api.clock.advance(timedelta(seconds=61))

    assert {one["state"] for one in (await api.get("/os-hypervisors"))["hypervisors"]} == {"down"}


async def test_one_that_is_disabled_says_so_and_why(api: ComputeApi) -> None:
    body = {"host": "c1", "binary": "nova-compute", "disabled_reason": "new disk"}
    await api.ask("PUT", "/os-services/disable-log-reason", body)

    shown = (await api.get(f"/os-hypervisors/{await number(api)}"))["hypervisor"]

    assert (shown["status"], shown["service"]["disabled_reason"]) == ("disabled", "new disk")


async def test_statistics_add_up_those_that_are_enabled(api: ComputeApi) -> None:
    await a_server(api, host="c1", vcpus=2, ram_mb=512, disk_gb=3)
    await api.ask("PUT", "/os-services/disable", {"host": "c2", "binary": "nova-compute"})

    assert await api.get("/os-hypervisors/statistics") == {
        "hypervisor_statistics": {
            "count": 2,
            "vcpus": 8,
            "vcpus_used": 2,
            "memory_mb": 16384,
            "memory_mb_used": 512,
            "free_ram_mb": 15872,
            "local_gb": 200,
            "local_gb_used": 3,
            "free_disk_gb": 197,
            "disk_available_least": 197,
            "running_vms": 1,
            "current_workload": 0,
        }
    }


async def test_they_are_found_by_a_part_of_their_names(api: ComputeApi) -> None:
    assert await names(api, "/os-hypervisors/c/search") == ["c1", "c2"]
    assert await names(api, "/os-hypervisors/D1/search") == ["d1"]


async def test_their_servers_are_shown_where_there_are_any(api: ComputeApi) -> None:
    server = await a_server(api, host="c1")

    first, second = (await api.get("/os-hypervisors/c/servers"))["hypervisors"]

    assert first["servers"] == [{"name": server.name, "uuid": server.id}]
    assert "servers" not in second


@pytest.mark.parametrize("action", ["search", "servers"])
async def test_a_name_that_nobody_has_is_not_found(api: ComputeApi, action: str) -> None:
    reply = await api.ask("GET", f"/os-hypervisors/nope/{action}")

    assert (reply.status, reply.message) == (404, "No hypervisor matching 'nope' could be found.")


async def test_pages_are_linked_since_2_33(api: ComputeApi) -> None:
    for path in ("/os-hypervisors", "/os-hypervisors/detail"):
        first = await api.get(f"{path}?limit=2", version="2.33")
        (link,) = first["hypervisors_links"]
        rest = link["href"].partition("/v2.1")[2]

        assert len(first["hypervisors"]) == 2
        assert rest.startswith(path)
        assert await names(api, rest, "2.33") == ["d1"]
        assert await names(api, f"{path}?limit=2", "2.32") == ["c1", "c2", "d1"]


async def test_an_unknown_marker_is_refused(api: ComputeApi) -> None:
    reply = await api.ask("GET", "/os-hypervisors?marker=99", version="2.33")

    assert (reply.status, reply.message) == (400, "marker [99] not found")


@pytest.mark.parametrize("path", ["99", "nope", "99/uptime"])
async def test_one_that_is_not_there_is_named(api: ComputeApi, path: str) -> None:
    reply = await api.ask("GET", f"/os-hypervisors/{path}")

    asked = path.partition("/")[0]
    assert (reply.status, reply.message) == (404, f"Hypervisor with ID '{asked}' could not be found.")


async def test_uptime_is_what_no_driver_here_tells(api: ComputeApi) -> None:
    assert isinstance(api.clock, ManualClock)
    path = f"/os-hypervisors/{await number(api)}/uptime"

    up = await api.ask("GET", path)
    api.clock.advance(timedelta(seconds=61))
    down = await api.ask("GET", path)

    assert up.status == 501
    assert (down.status, down.message) == (400, "Compute service of c1 is unavailable at this time.")


async def test_one_whose_service_was_forgotten_is_no_longer_there(api: ComputeApi) -> None:
    await api.ask("DELETE", f"/os-services/{await number(api)}")

    assert await names(api, "/os-hypervisors") == ["c2", "d1"]


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("", "list"),
        ("/detail", "list-detail"),
        ("/statistics", "statistics"),
        ("/1", "show"),
        ("/1/uptime", "uptime"),
        ("/c/search", "search"),
        ("/c/servers", "servers"),
    ],
)
async def test_all_of_it_is_for_administrators(api: ComputeApi, path: str, rule: str) -> None:
    reply = await api.ask("GET", f"/os-hypervisors{path}", who="alice")

    said = f"Policy doesn't allow os_compute_api:os-hypervisors:{rule} to be performed."
    assert (reply.status, reply.message) == (403, said)
