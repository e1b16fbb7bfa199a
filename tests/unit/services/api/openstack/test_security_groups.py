"""Security groups over HTTP, as clients of Nova see them."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from novaflow.config import Config
from novaflow.quotas import QuotaLimits
from tests.support.compute_api import PROJECT, ComputeApi, Reply, compute_api
from tests.support.server_world import World


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ComputeApi]:
    async with compute_api(tmp_path, Config(quota=QuotaLimits(security_groups=3, security_group_rules=2))) as running:
        yield running


async def create(api: ComputeApi, name: str = "web", *, who: str = "alice", version: str | None = None) -> Reply:
    body = {"security_group": {"name": name, "description": f"about {name}"}}
    return await api.ask("POST", "/os-security-groups", body, who=who, version=version)


async def created(api: ComputeApi, name: str = "web", *, who: str = "alice") -> int:
    reply = await create(api, name, who=who)
    assert reply.status == HTTPStatus.OK, reply.body
    number: int = reply.body["security_group"]["id"]
    return number


async def allow(api: ComputeApi, parent_id: int, **fields: Any) -> Reply:
    rule = {
        "parent_group_id": parent_id,
        "ip_protocol": "tcp",
        "from_port": 22,
        "to_port": 22,
        "cidr": "10.1.0.0/16",
        **fields,
    }
    given = {name: value for name, value in rule.items() if value is not ...}
    return await api.ask("POST", "/os-security-group-rules", {"security_group_rule": given}, who="alice")


async def names(api: ComputeApi, *, who: str = "alice") -> list[str]:
    found = (await api.get("/os-security-groups", who=who))["security_groups"]
    return [group["name"] for group in found]


class TestAGroup:
    async def test_is_made_shown_named_anew_and_deleted(self, api: ComputeApi) -> None:
        number = await created(api)
        shown = {"id": number, "name": "web", "description": "about web", "tenant_id": PROJECT, "rules": []}
        assert await api.get(f"/os-security-groups/{number}", who="alice") == {"security_group": shown}

        body = {"security_group": {"name": "front", "description": "of the shop"}}
        changed = await api.ask("PUT", f"/os-security-groups/{number}", body, who="alice")
        assert (changed.status, changed.body["security_group"]["name"]) == (200, "front")
        assert await names(api) == ["default", "front"]

        assert (await api.ask("DELETE", f"/os-security-groups/{number}", who="alice")).status == 202
        assert await names(api) == ["default"]

    async def test_every_project_has_a_default_one_that_stays(self, api: ComputeApi) -> None:
        (default,) = (await api.get("/os-security-groups", who="alice"))["security_groups"]
        assert (default["name"], default["description"]) == ("default", "default")

        refused = await api.ask("DELETE", f"/os-security-groups/{default['id']}", who="alice")

        assert (refused.status, refused.message) == (400, "Unable to delete system group 'default'")

    async def test_of_another_project_is_not_there(self, api: ComputeApi) -> None:
        number = await created(api)

        for method in ("GET", "DELETE"):
            reply = await api.ask(method, f"/os-security-groups/{number}", who="bob")
            assert (reply.status, reply.message) == (404, f"Security group {number} not found.")
        assert await names(api, who="bob") == ["default"]

    async def test_has_a_name_of_its_own(self, api: ComputeApi) -> None:
        await created(api)

        reply = await create(api)

        assert (reply.status, reply.message) == (400, "Security group web already exists")
        assert (await create(api, who="bob")).status == 200

    async def test_is_refused_over_the_quota(self, api: ComputeApi) -> None:
        await created(api, "a")
        await created(api, "b")

        reply = await create(api, "c")

        assert (reply.status, reply.message) == (403, "Quota exceeded, too many security groups.")
        absolute = (await api.get("/limits", who="alice"))["limits"]["absolute"]
        assert (absolute["maxSecurityGroups"], absolute["totalSecurityGroupsUsed"]) == (3, 3)

    async def test_is_numbered(self, api: ComputeApi) -> None:
        reply = await api.ask("GET", "/os-security-groups/web", who="alice")

        assert (reply.status, reply.message) == (400, "Security group id should be integer")

    async def test_is_gone_since_2_36(self, api: ComputeApi) -> None:
        assert (await create(api, version="2.35")).status == 200
        assert (await create(api, "db", version="2.36")).status == 404


class TestARule:
    async def test_is_shown_in_its_group(self, api: ComputeApi) -> None:
        number = await created(api)

        reply = await allow(api, number)

        rule = reply.body["security_group_rule"]
        assert rule == {
            "id": rule["id"],
            "parent_group_id": number,
            "ip_protocol": "tcp",
            "from_port": 22,
            "to_port": 22,
            "group": {},
            "ip_range": {"cidr": "10.1.0.0/16"},
        }
        shown = (await api.get(f"/os-security-groups/{number}", who="alice"))["security_group"]["rules"]
        assert shown == [rule]
        assert (await api.ask("DELETE", f"/os-security-group-rules/{rule['id']}", who="alice")).status == 202
        assert (await api.ask("DELETE", f"/os-security-group-rules/{rule['id']}", who="alice")).status == 404

    async def test_may_let_a_group_in(self, api: ComputeApi) -> None:
        web, db = await created(api, "web"), await created(api, "db")

        rule = (await allow(api, db, group_id=web, cidr=...)).body["security_group_rule"]

        assert (rule["group"], rule["ip_range"]) == ({"name": "web", "tenant_id": PROJECT}, {})

    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"ip_protocol": "gre"}, "Invalid IP protocol gre."),
            ({"from_port": 80}, "Invalid port range 80:22. Former value cannot be greater than the later"),
            ({"to_port": 70000}, "Invalid port range 22:70000. Valid TCP ports should be between 1-65535"),
            (
                {"ip_protocol": "icmp", "to_port": 256},
                "Invalid port range 22:256. For ICMP, the type:code must be valid",
            ),
            ({"cidr": "10.0.0.0/99"}, "10.0.0.0/99 is not a valid IP network."),
            ({"from_port": ...}, "Not enough parameters to build a valid rule."),
        ],
    )
    async def test_that_cannot_be_is_refused(self, api: ComputeApi, fields: dict[str, Any], said: str) -> None:
        reply = await allow(api, await created(api), **fields)

        assert (reply.status, reply.message) == (400, said)

    async def test_is_once_in_its_group(self, api: ComputeApi) -> None:
        number = await created(api)
        await allow(api, number)

        reply = await allow(api, number)

        assert (reply.status, reply.message) == (400, f"This rule already exists in group {number}")

    async def test_is_refused_over_the_quota(self, api: ComputeApi) -> None:
        number = await created(api)
        for port in (1, 2):
            assert (await allow(api, number, from_port=port, to_port=port)).status == 200

        reply = await allow(api, number)

        assert (reply.status, reply.message) == (403, "Quota exceeded, too many security group rules.")

    async def test_of_another_projects_group_is_not_there(self, api: ComputeApi) -> None:
        theirs = await created(api, who="bob")
        mine = await created(api)

        assert (await allow(api, theirs)).status == 404
        assert (await allow(api, mine, group_id=theirs, cidr=...)).status == 404


class TestAServersGroups:
    async def test_are_those_it_was_made_with(self, world: World) -> None:
        await created(world.api)

        named = await world.created(security_groups=[{"name": "web"}, {"name": "default"}])
        plain = await world.created()

        assert (await world.show(named))["security_groups"] == [{"name": "default"}, {"name": "web"}]
        assert (await world.show(plain))["security_groups"] == [{"name": "default"}]
        found = await world.api.get(f"/servers/{named}/os-security-groups", who="alice", version="2.37")
        assert [group["name"] for group in found["security_groups"]] == ["default", "web"]

    async def test_change_and_it_is_said_that_the_network_does_not(self, world: World) -> None:
        await created(world.api)
        server_id = await world.created()

        added = await world.act(server_id, {"addSecurityGroup": {"name": "web"}})
        assert added.status == 202
        assert "lets nothing in from outside" in added.headers["Warning"]
        assert (await world.show(server_id))["security_groups"] == [{"name": "default"}, {"name": "web"}]

        for group in ("web", "default"):
            assert (await world.act(server_id, {"removeSecurityGroup": {"name": group}})).status == 202
        assert "security_groups" not in await world.show(server_id)

    async def test_change_once(self, world: World) -> None:
        server_id = await world.created()

        again = await world.act(server_id, {"addSecurityGroup": {"name": "default"}})
        unknown = await world.act(server_id, {"removeSecurityGroup": {"name": "web"}})

        said = f"Security group default is already associated with the instance {server_id}"
        assert (again.status, again.message) == (400, said)
        assert (unknown.status, unknown.message) == (404, "Security group web not found.")

    async def test_hold_their_group(self, world: World) -> None:
        number = await created(world.api)
        await world.created(security_groups=[{"name": "web"}])

        reply = await world.api.ask("DELETE", f"/os-security-groups/{number}", who="alice")

        assert (reply.status, reply.message) == (400, "Security group is still in use")
