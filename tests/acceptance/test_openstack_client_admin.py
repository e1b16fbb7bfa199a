"""The unmodified `openstack` client does an administrator's work: aggregates, server groups, quotas. On the fake driver."""

from pathlib import Path

import pytest

from tests.acceptance.conftest import client_of
from tests.support.clients import CommandFailed, OpenStackClient


@pytest.mark.timeout(600)
async def test_an_administrator_works_through_the_openstack_client(state_dir: Path, openstack_bin: Path) -> None:
    async with client_of(state_dir, openstack_bin, "--virt", "fake") as openstack:
        await puts_hosts_into_zones(openstack)
        await groups_servers(openstack)
        await sets_quotas(openstack)


async def puts_hosts_into_zones(openstack: OpenStackClient) -> None:
    [host] = [row["Host"] for row in await openstack.json("compute", "service", "list", "--service", "nova-compute")]

    made = await openstack.json("aggregate", "create", "--zone", "north", "--property", "ssd=true", "fast")
    await openstack.text("aggregate", "add", "host", "fast", host)
    await openstack.text("aggregate", "set", "--name", "faster", "--property", "gpu=no", "fast")

    shown = await openstack.json("aggregate", "show", "faster")
    assert (made["name"], made["availability_zone"]) == ("fast", "north")
    assert (shown["availability_zone"], shown["hosts"]) == ("north", [host])
    assert shown["properties"] == {"ssd": "true", "gpu": "no"}
    zones = await openstack.json("availability", "zone", "list", "--compute")
    assert [(zone["Zone Name"], zone["Zone Status"]) for zone in zones if zone["Zone Name"] != "internal"] == [
        ("north", "available")
    ]
    with pytest.raises(CommandFailed, match="Host aggregate is not empty"):
        await openstack.text("aggregate", "delete", "faster")

    await openstack.text("aggregate", "remove", "host", "faster", host)
    await openstack.text("aggregate", "delete", "faster")

    assert await openstack.json("aggregate", "list") == []


async def groups_servers(openstack: OpenStackClient) -> None:
    made = await openstack.json("server", "group", "create", "--policy", "anti-affinity", "apart")
    [listed] = await openstack.json("server", "group", "list")
    shown = await openstack.json("server", "group", "show", "apart")

    assert made["name"] == listed["Name"] == shown["name"] == "apart"
    assert listed["ID"] == shown["id"] == made["id"]
    await openstack.text("server", "group", "delete", "apart")
    assert await openstack.json("server", "group", "list") == []


async def sets_quotas(openstack: OpenStackClient) -> None:
    async def limits(*words: str) -> dict[str, int]:
        return {row["Resource"]: row["Limit"] for row in await openstack.json("quota", "show", "--compute", *words)}

    await openstack.text("quota", "set", "--class", "--cores", "30", "default")
    assert (await limits("--default"))["cores"] == 30

    await openstack.text("project", "create", "blue")
    await openstack.text("quota", "set", "--instances", "7", "--ram", "-1", "blue")
    own = await limits("blue")
    assert (own["instances"], own["ram"], own["cores"]) == (7, -1, 30)

    await openstack.text("quota", "delete", "--compute", "blue")
    assert (await limits("blue"))["instances"] == 10
