"""Floating addresses over HTTP, as clients of Nova see them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from novaflow.config import Config, Network
from novaflow.quotas import QuotaLimits
from tests.support.server_world import World, server_world

CONFIG = Config(
    quota=QuotaLimits(floating_ips=2), network=Network(floating_pool="street", floating_cidr="198.51.100.0/29")
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with server_world(tmp_path, CONFIG) as world:
        yield world


async def allocated(world: World, *, who: str = "alice") -> dict[str, Any]:
    reply = await world.api.ask("POST", "/os-floating-ips", {"pool": "street"}, who=who)
    assert reply.status == 200, reply.body
    address: dict[str, Any] = reply.body["floating_ip"]
    return address


async def test_an_address_is_kept_until_it_is_given_back(world: World) -> None:
    address = await allocated(world)

    assert address == {
        "id": address["id"],
        "ip": "198.51.100.1",
        "fixed_ip": None,
        "instance_id": None,
        "pool": "street",
    }
    path = f"/os-floating-ips/{address['id']}"
    assert await world.api.get(path, who="alice") == {"floating_ip": address}
    assert await world.api.get("/os-floating-ips", who="alice") == {"floating_ips": [address]}
    assert (await world.api.ask("DELETE", path, who="alice")).status == 202
    gone = await world.api.ask("GET", path, who="alice")
    assert (gone.status, gone.message) == (404, f"Floating IP not found for ID {address['id']}")


async def test_the_pool_is_named(world: World) -> None:
    assert await world.api.get("/os-floating-ip-pools", who="alice") == {"floating_ip_pools": [{"name": "street"}]}
    unknown = await world.api.ask("POST", "/os-floating-ips", {"pool": "lane"}, who="alice")
    assert (unknown.status, unknown.message) == (404, "Floating IP pool not found.")


async def test_the_quota_ends_the_giving(world: World) -> None:
    await allocated(world)
    await allocated(world)

    over = await world.api.ask("POST", "/os-floating-ips", who="alice")

    assert (over.status, over.message) == (403, "IP allocation over quota.")
    absolute = (await world.api.get("/limits", who="alice"))["limits"]["absolute"]
    assert (absolute["maxTotalFloatingIps"], absolute["totalFloatingIpsUsed"]) == (2, 2)


async def test_an_address_is_shown_with_its_server_and_it_is_said_that_nothing_is_routed(world: World) -> None:
    address, server_id = await allocated(world), await world.active()

    given = await world.act(server_id, {"addFloatingIp": {"address": address["ip"]}})

    assert given.status == 202
    assert "no traffic reaches a guest" in given.headers["Warning"]
    fixed, floating = (await world.show(server_id))["addresses"]["private"]
    assert (fixed["OS-EXT-IPS:type"], floating["OS-EXT-IPS:type"]) == ("fixed", "floating")
    assert (floating["addr"], floating["OS-EXT-IPS-MAC:mac_addr"]) == (address["ip"], fixed["OS-EXT-IPS-MAC:mac_addr"])
    listed = (await world.api.get(f"/servers/{server_id}/ips", who="alice"))["addresses"]["private"]
    assert [one["addr"] for one in listed] == [fixed["addr"], address["ip"]]
    shown = (await world.api.get(f"/os-floating-ips/{address['id']}", who="alice"))["floating_ip"]
    assert (shown["instance_id"], shown["fixed_ip"]) == (server_id, fixed["addr"])

    assert (await world.act(server_id, {"removeFloatingIp": {"address": address["ip"]}})).status == 202
    assert len((await world.show(server_id))["addresses"]["private"]) == 1


async def test_an_address_is_taken_from_the_server_that_has_it_alone(world: World) -> None:
    address, server_id = await allocated(world), await world.active()

    reply = await world.act(server_id, {"removeFloatingIp": {"address": address["ip"]}})

    said = f"Floating IP {address['ip']} is not associated with instance {server_id}."
    assert (reply.status, reply.message) == (409, said)


async def test_another_projects_address_is_not_there(world: World) -> None:
    theirs, server_id = await allocated(world, who="bob"), await world.active()

    given = await world.act(server_id, {"addFloatingIp": {"address": theirs["ip"]}})
    shown = await world.api.ask("GET", f"/os-floating-ips/{theirs['id']}", who="alice")

    assert (given.status, shown.status) == (404, 404)


async def test_all_of_it_goes_where_it_goes_in_nova(world: World) -> None:
    address, server_id = await allocated(world), await world.active()
    body = {"addFloatingIp": {"address": address["ip"]}}

    assert (await world.api.ask("GET", "/os-floating-ips", who="alice", version="2.36")).status == 404
    assert (await world.api.ask("GET", "/os-floating-ip-pools", who="alice", version="2.36")).status == 404
    assert (await world.act(server_id, body, version="2.37")).status == 202
