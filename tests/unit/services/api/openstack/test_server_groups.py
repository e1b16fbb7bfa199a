"""Server groups over HTTP, as clients of Nova see them."""

from http import HTTPStatus
from typing import Any

import pytest

from services.api.openstack.microversion import MAX
from services.api.openstack.server_groups import RULES
from tests.support.compute_api import PROJECT, ComputeApi, Reply
from tests.support.server_world import World

UNKNOWN = "22222222-2222-4222-8222-222222222222"


async def create(
    api: ComputeApi, name: str = "g", policy: str = "affinity", *, who: str = "alice", version: str = "2.15"
) -> Reply:
    body = {"server_group": {"name": name, "policies": [policy]}}
    return await api.ask("POST", "/os-server-groups", body, who=who, version=version)


async def created(api: ComputeApi, **more: Any) -> str:
    reply = await create(api, **more)
    assert reply.status == HTTPStatus.OK, reply.body
    group_id: str = reply.body["server_group"]["id"]
    return group_id


class TestAGroup:
    async def test_is_made_without_members_and_shown(self, api: ComputeApi) -> None:
        reply = await create(api, "web", "anti-affinity")

        group = reply.body["server_group"]
        assert reply.status == 200
        assert group == {
            "id": group["id"],
            "name": "web",
            "policies": ["anti-affinity"],
            "metadata": {},
            "members": [],
            "project_id": PROJECT,
            "user_id": "alice-id",
        }
        shown = await api.get(f"/os-server-groups/{group['id']}", who="alice", version="2.13")
        assert shown == {"server_group": group}

    async def test_tells_whose_it_is_since_2_13(self, api: ComputeApi) -> None:
        reply = await create(api, version="2.12")

        assert set(reply.body["server_group"]) == {"id", "name", "policies", "metadata", "members"}

    async def test_may_be_soft_since_2_15(self, api: ComputeApi) -> None:
        assert (await create(api, policy="soft-affinity", version="2.14")).status == 400
        assert (await create(api, policy="soft-affinity", version="2.15")).status == 200

    async def test_is_listed_in_parts(self, api: ComputeApi) -> None:
        made = [await created(api, name=f"g{number}") for number in range(4)]

        async def listed(query: str) -> list[str]:
            found = (await api.get(f"/os-server-groups{query}", who="alice"))["server_groups"]
            return [group["id"] for group in found]

        assert await listed("") == made
        assert await listed("?limit=2&offset=1") == made[1:3]
        assert await listed("?limit=0") == made
        assert (await api.ask("GET", "/os-server-groups?offset=-1", who="alice")).status == 400

    async def test_of_all_projects_is_for_administrators(self, api: ComputeApi) -> None:
        mine, others = await created(api), await created(api, who="bob")

        async def listed(query: str, who: str) -> list[str]:
            found = (await api.get(f"/os-server-groups{query}", who=who))["server_groups"]
            return [group["id"] for group in found]

        assert await listed("?all_projects", "admin") == [mine, others]
        assert await listed("", "admin") == []
        assert await listed("?all_projects", "alice") == [mine]

    async def test_is_its_projects_alone(self, api: ComputeApi) -> None:
        group_id = await created(api)

        shown = await api.ask("GET", f"/os-server-groups/{group_id}", who="bob")
        deleted = await api.ask("DELETE", f"/os-server-groups/{group_id}", who="bob")

        said = "Policy doesn't allow os_compute_api:os-server-groups:{} to be performed."
        assert (shown.status, shown.message) == (403, said.format("show"))
        assert (deleted.status, deleted.message) == (403, said.format("delete"))

    async def test_is_deleted_once(self, api: ComputeApi) -> None:
        group_id = await created(api)

        first = await api.ask("DELETE", f"/os-server-groups/{group_id}", who="alice")
        second = await api.ask("DELETE", f"/os-server-groups/{group_id}", who="alice")

        assert (first.status, first.body) == (204, None)
        assert (second.status, second.message) == (404, f"Instance group {group_id} could not be found.")

    async def test_is_one_of_as_many_as_the_quota_allows(self, api: ComputeApi) -> None:
        await api.ask("PUT", f"/os-quota-sets/{PROJECT}", {"quota_set": {"server_groups": 2}})
        for _ in range(2):
            await created(api)

        refused = await create(api)

        assert (refused.status, refused.message) == (403, "Quota exceeded, too many server groups.")
        absolute = (await api.get("/limits", who="alice"))["limits"]["absolute"]
        assert (absolute["maxServerGroups"], absolute["totalServerGroupsUsed"]) == (2, 2)
        detail = (await api.get(f"/os-quota-sets/{PROJECT}/detail"))["quota_set"]
        assert detail["server_groups"] == {"limit": 2, "in_use": 2, "reserved": 0}

    @pytest.mark.parametrize(
        "body",
        [
            {"name": "g"},
            {"name": "g", "policies": []},
            {"name": "g", "policies": ["affinity", "anti-affinity"]},
            {"name": "g", "policies": ["loneliness"]},
            {"name": "", "policies": ["affinity"]},
            {"name": "g", "policy": "affinity"},
        ],
    )
    async def test_is_refused_when_it_makes_no_sense(self, api: ComputeApi, body: Any) -> None:
        reply = await api.ask("POST", "/os-server-groups", {"server_group": body}, who="alice", version="2.15")

        assert reply.status == 400


@pytest.mark.skipif(MAX < RULES, reason="the API does not go as far yet")
class TestSince264:
    async def ask(self, api: ComputeApi, **fields: Any) -> Reply:
        body = {"server_group": {"name": "g", **fields}}
        return await api.ask("POST", "/os-server-groups", body, who="alice", version="2.64")

    async def test_a_group_has_one_policy_and_its_rules(self, api: ComputeApi) -> None:
        plain = await self.ask(api, policy="soft-affinity")
        ruled = await self.ask(api, policy="anti-affinity", rules={"max_server_per_host": 3})

        assert (plain.body["server_group"]["policy"], plain.body["server_group"]["rules"]) == ("soft-affinity", {})
        shown = ruled.body["server_group"]
        assert (shown["policy"], shown["rules"]) == ("anti-affinity", {"max_server_per_host": 3})
        assert not {"policies", "metadata"} & shown.keys()

    async def test_only_anti_affinity_has_rules(self, api: ComputeApi) -> None:
        refused = await self.ask(api, policy="affinity", rules={"max_server_per_host": 3})

        assert (refused.status, refused.message) == (400, "Only anti-affinity policy supports rules.")

    async def test_the_old_form_is_refused(self, api: ComputeApi) -> None:
        assert (await self.ask(api, policies=["affinity"])).status == 400


class TestMembers:
    async def test_a_server_is_in_its_group_from_the_moment_it_is_accepted(self, world: World) -> None:
        group_id = await created(world.api)

        reply = await world.create(around={"os:scheduler_hints": {"group": group_id}})

        assert reply.status == HTTPStatus.ACCEPTED
        shown = (await world.api.get(f"/os-server-groups/{group_id}", who="alice"))["server_group"]
        assert shown["members"] == [reply.body["server"]["id"]]

    async def test_and_until_it_is_deleted(self, world: World) -> None:
        group_id = await created(world.api)
        reply = await world.create(around={"os:scheduler_hints": {"group": group_id}})

        await world.api.ask("DELETE", f"/servers/{reply.body['server']['id']}", who="alice")

        shown = (await world.api.get(f"/os-server-groups/{group_id}", who="alice"))["server_group"]
        assert shown["members"] == []

    @pytest.mark.parametrize("whose", ["nobody's", "bob's"])
    async def test_a_group_that_is_not_the_projects_is_refused(self, world: World, whose: str) -> None:
        group_id = UNKNOWN if whose == "nobody's" else await created(world.api, who="bob")

        reply = await world.create(around={"os:scheduler_hints": {"group": group_id}})

        assert (reply.status, reply.message) == (400, f"Instance group {group_id} could not be found.")
        assert (await world.api.get("/limits", who="alice"))["limits"]["absolute"]["totalInstancesUsed"] == 0

    async def test_a_group_has_as_many_servers_of_a_user_as_the_quota_allows(self, world: World) -> None:
        group_id = await created(world.api)
        await world.api.ask("PUT", f"/os-quota-sets/{PROJECT}", {"quota_set": {"server_group_members": 2}})
        hint = {"os:scheduler_hints": {"group": group_id}}
        await world.create(around=hint)

        refused = await world.create(around=hint, min_count=2)
        accepted = await world.create(around=hint)

        assert (refused.status, refused.message) == (403, "Quota exceeded, too many servers in group")
        assert accepted.status == HTTPStatus.ACCEPTED
