"""Limits, quota sets and quota classes over HTTP, as clients of Nova see them."""

from typing import Any

import pytest

from tests.support.compute_api import OTHER_PROJECT, PROJECT, ComputeApi
from tests.support.servers import a_server

DEFAULTS = {
    "instances": 10,
    "cores": 20,
    "ram": 51200,
    "key_pairs": 100,
    "metadata_items": 128,
    "injected_files": 5,
    "injected_file_content_bytes": 10240,
    "injected_file_path_bytes": 255,
    "server_groups": 10,
    "server_group_members": 10,
    "fixed_ips": -1,
    "floating_ips": 10,
    "security_groups": 10,
    "security_group_rules": 20,
}
NETWORK = {"fixed_ips", "floating_ips", "security_groups", "security_group_rules"}
HIDDEN = {"server_groups", "server_group_members"}  # of a class
WITHOUT_NETWORK = {key: value for key, value in DEFAULTS.items() if key not in NETWORK}


async def put(api: ComputeApi, project: str = PROJECT, query: str = "", version: str = "2.1", **limits: object) -> Any:
    return await api.ask("PUT", f"/os-quota-sets/{project}{query}", {"quota_set": limits}, version=version)


class TestLimits:
    async def test_a_member_sees_what_may_be_had_and_what_is(self, api: ComputeApi) -> None:
        await a_server(api, vcpus=2, ram_mb=512)

        assert await api.get("/limits", who="alice") == {
            "limits": {
                "rate": [],
                "absolute": {
                    "maxTotalRAMSize": 51200,
                    "maxTotalInstances": 10,
                    "maxTotalCores": 20,
                    "maxTotalKeypairs": 100,
                    "maxTotalFloatingIps": 10,
                    "maxSecurityGroups": 10,
                    "maxSecurityGroupRules": 20,
                    "maxServerMeta": 128,
                    "maxImageMeta": 128,
                    "maxPersonality": 5,
                    "maxPersonalitySize": 10240,
                    "maxServerGroups": 10,
                    "maxServerGroupMembers": 10,
                    "totalRAMUsed": 512,
                    "totalCoresUsed": 2,
                    "totalInstancesUsed": 1,
                    "totalFloatingIpsUsed": 0,
                    "totalSecurityGroupsUsed": 1,
                    "totalServerGroupsUsed": 0,
                },
            }
        }

    async def test_the_networks_are_gone_since_2_36(self, api: ComputeApi) -> None:
        absolute = (await api.get("/limits", who="alice", version="2.36"))["limits"]["absolute"]

        assert [name for name in absolute if "Security" in name or "Floating" in name] == []
        assert absolute["maxTotalCores"] == 20

    async def test_administrators_may_ask_for_another_project(self, api: ComputeApi) -> None:
        await a_server(api)
        await put(api, cores=7)

        absolute = (await api.get(f"/limits?tenant_id={PROJECT}"))["limits"]["absolute"]

        assert (absolute["maxTotalCores"], absolute["totalInstancesUsed"]) == (7, 1)
        assert (await api.get("/limits"))["limits"]["absolute"]["totalInstancesUsed"] == 0

    async def test_others_may_not(self, api: ComputeApi) -> None:
        reply = await api.ask("GET", f"/limits?tenant_id={OTHER_PROJECT}", who="alice")

        said = "Policy doesn't allow os_compute_api:limits:other_project to be performed."
        assert (reply.status, reply.message) == (403, said)


class TestQuotaSets:
    async def test_the_defaults_count_until_somebody_says_otherwise(self, api: ComputeApi) -> None:
        own = await api.get(f"/os-quota-sets/{PROJECT}", who="alice")
        defaults = await api.get(f"/os-quota-sets/{PROJECT}/defaults", who="alice")

        assert own == defaults == {"quota_set": {"id": PROJECT, **DEFAULTS}}

    async def test_the_networks_are_gone_since_2_36(self, api: ComputeApi) -> None:
        expected = {"quota_set": {"id": PROJECT, **WITHOUT_NETWORK}}

        assert await api.get(f"/os-quota-sets/{PROJECT}", version="2.36") == expected
        assert await api.get(f"/os-quota-sets/{PROJECT}/defaults", version="2.36") == expected
        assert (await put(api, version="2.36", floating_ips=3)).status == 400

    async def test_what_is_changed_counts_for_that_project_alone(self, api: ComputeApi) -> None:
        changed = await put(api, cores=50, ram="-1", floating_ips=3)

        expected = {**DEFAULTS, "cores": 50, "ram": -1, "floating_ips": 3}
        assert (changed.status, changed.body) == (200, {"quota_set": expected})
        assert (await api.get(f"/os-quota-sets/{PROJECT}"))["quota_set"] == {"id": PROJECT, **expected}
        assert (await api.get(f"/os-quota-sets/{OTHER_PROJECT}"))["quota_set"] == {"id": OTHER_PROJECT, **DEFAULTS}
        assert (await api.get(f"/os-quota-sets/{PROJECT}/defaults"))["quota_set"] == {"id": PROJECT, **DEFAULTS}

    async def test_a_second_change_keeps_the_first(self, api: ComputeApi) -> None:
        await put(api, cores=50)
        await put(api, instances=5)

        shown = (await api.get(f"/os-quota-sets/{PROJECT}"))["quota_set"]
        assert (shown["cores"], shown["instances"]) == (50, 5)

    async def test_what_is_taken_back_is_the_default_again(self, api: ComputeApi) -> None:
        await put(api, cores=50)

        reply = await api.ask("DELETE", f"/os-quota-sets/{PROJECT}")

        assert (reply.status, reply.body) == (202, None)
        assert (await api.get(f"/os-quota-sets/{PROJECT}"))["quota_set"]["cores"] == 20

    async def test_in_detail_there_is_what_is_in_use(self, api: ComputeApi) -> None:
        await a_server(api, vcpus=2, ram_mb=512)

        shown = (await api.get(f"/os-quota-sets/{PROJECT}/detail", who="alice"))["quota_set"]

        assert shown.pop("id") == PROJECT
        assert {name: detail["limit"] for name, detail in shown.items()} == DEFAULTS
        assert {name: detail["in_use"] for name, detail in shown.items() if detail["in_use"]} == {
            "instances": 1,
            "cores": 2,
            "ram": 512,
            "security_groups": 1,
        }
        assert {detail["reserved"] for detail in shown.values()} == {0}

    async def test_a_limit_may_not_be_below_what_is_in_use_unless_forced(self, api: ComputeApi) -> None:
        await a_server(api, vcpus=2)

        refused = await put(api, cores=1, instances=50)
        untouched = (await api.get(f"/os-quota-sets/{PROJECT}"))["quota_set"]
        forced = await put(api, cores=1, force=True)

        said = "Quota limit 1 for cores must be greater than or equal to already used and reserved 2."
        assert (refused.status, refused.message) == (400, said)
        assert untouched["instances"] == 10
        assert forced.body["quota_set"]["cores"] == 1

    @pytest.mark.parametrize(
        ("limits", "said"),
        [
            ({"networks": 3}, "'networks' was unexpected"),
            ({"cores": "many"}, "Invalid input for field/attribute cores. Value: many."),
            ({"cores": -2}, "Invalid input for field/attribute cores. Value: -2."),
            ({"cores": 2**31}, "Invalid input for field/attribute cores."),
            ({"cores": None}, "Invalid input for field/attribute cores."),
            ({"force": "perhaps"}, "Invalid input for field/attribute force."),
        ],
    )
    async def test_a_bad_limit_is_named_and_changes_nothing(
        self, api: ComputeApi, limits: dict[str, object], said: str
    ) -> None:
        reply = await api.ask("PUT", f"/os-quota-sets/{PROJECT}", {"quota_set": {"instances": 3, **limits}})

        assert reply.status == 400
        assert said in reply.message
        assert (await api.get(f"/os-quota-sets/{PROJECT}"))["quota_set"]["instances"] == 10

    async def test_an_id_that_no_project_has_is_refused(self, api: ComputeApi) -> None:
        reply = await put(api, project="x" * 65, cores=3)

        assert reply.status == 400
        assert reply.message.endswith("is not a valid project.")

    async def test_one_user_may_have_limits_of_his_own(self, api: ComputeApi) -> None:
        changed = await put(api, query="?user_id=alice-id", cores=3)

        assert (changed.status, changed.body["quota_set"]) == (200, DEFAULTS | {"cores": 3})
        assert (await api.get(f"/os-quota-sets/{PROJECT}?user_id=alice-id", who="alice"))["quota_set"]["cores"] == 3
        assert (await api.get(f"/os-quota-sets/{PROJECT}?user_id=carol-id"))["quota_set"]["cores"] == 20
        assert (await api.get(f"/os-quota-sets/{PROJECT}"))["quota_set"]["cores"] == 20

    async def test_his_detail_tells_what_he_has_himself(self, api: ComputeApi) -> None:
        await a_server(api, vcpus=2)
        await put(api, query="?user_id=alice-id", cores=3)

        alice = (await api.get(f"/os-quota-sets/{PROJECT}/detail?user_id=alice-id"))["quota_set"]
        carol = (await api.get(f"/os-quota-sets/{PROJECT}/detail?user_id=carol-id"))["quota_set"]

        assert alice["cores"] == {"limit": 3, "in_use": 2, "reserved": 0}
        assert carol["cores"] == {"limit": 20, "in_use": 0, "reserved": 0}

    async def test_a_user_gets_no_more_than_his_project_has_left(self, api: ComputeApi) -> None:
        await put(api, query="?user_id=carol-id", cores=15)

        refused = await put(api, query="?user_id=alice-id", cores=6)
        forced = await put(api, query="?user_id=alice-id", cores=6, force=True)

        said = "Quota limit 6 for cores must be less than or equal to 5."
        assert (refused.status, refused.message) == (400, said)
        assert forced.body["quota_set"]["cores"] == 6

    async def test_a_projects_limit_stays_above_what_its_users_were_given(self, api: ComputeApi) -> None:
        await put(api, query="?user_id=carol-id", cores=15)

        refused = await put(api, cores=14)

        said = "Quota limit 14 for cores must be greater than or equal to already used and reserved 15."
        assert (refused.status, refused.message) == (400, said)

    async def test_taking_back_one_users_limits_leaves_the_projects(self, api: ComputeApi) -> None:
        await put(api, cores=30)
        for user in ("alice-id", "carol-id"):
            await put(api, query=f"?user_id={user}", cores=3)

        reply = await api.ask("DELETE", f"/os-quota-sets/{PROJECT}?user_id=alice-id")

        assert reply.status == 202
        assert (await api.get(f"/os-quota-sets/{PROJECT}?user_id=alice-id"))["quota_set"]["cores"] == 30
        assert (await api.get(f"/os-quota-sets/{PROJECT}?user_id=carol-id"))["quota_set"]["cores"] == 3

    async def test_taking_back_the_projects_takes_its_users_along(self, api: ComputeApi) -> None:
        await put(api, query="?user_id=alice-id", cores=3)

        await api.ask("DELETE", f"/os-quota-sets/{PROJECT}")

        assert (await api.get(f"/os-quota-sets/{PROJECT}?user_id=alice-id"))["quota_set"]["cores"] == 20

    @pytest.mark.parametrize(
        ("method", "project", "below", "rule"),
        [
            ("GET", OTHER_PROJECT, "", "show"),
            ("GET", OTHER_PROJECT, "/detail", "detail"),
            ("PUT", PROJECT, "", "update"),
            ("DELETE", PROJECT, "", "delete"),
        ],
    )
    async def test_members_see_their_own_and_change_none(
        self, api: ComputeApi, method: str, project: str, below: str, rule: str
    ) -> None:
        body = {"quota_set": {"cores": 100}} if method == "PUT" else None

        reply = await api.ask(method, f"/os-quota-sets/{project}{below}", body, who="alice")

        said = f"Policy doesn't allow os_compute_api:os-quota-sets:{rule} to be performed."
        assert (reply.status, reply.message) == (403, said)


class TestQuotaClasses:
    async def test_every_class_has_the_defaults(self, api: ComputeApi) -> None:
        shown = (await api.get("/os-quota-class-sets/default"))["quota_class_set"]

        assert shown == {"id": "default"} | {key: value for key, value in DEFAULTS.items() if key not in HIDDEN}

    async def test_what_is_said_of_the_default_class_counts_for_projects_without_limits_of_their_own(
        self, api: ComputeApi
    ) -> None:
        await put(api, cores=5)

        reply = await api.ask("PUT", "/os-quota-class-sets/default", {"quota_class_set": {"cores": 3, "ram": -1}})

        changed = DEFAULTS | {"cores": 3, "ram": -1}
        assert (reply.status, reply.body) == (
            200,
            {"quota_class_set": {key: value for key, value in changed.items() if key not in HIDDEN}},
        )
        assert (await api.get("/os-quota-class-sets/default"))["quota_class_set"]["cores"] == 3
        assert (await api.get(f"/os-quota-sets/{PROJECT}/defaults"))["quota_set"]["cores"] == 3
        own = (await api.get(f"/os-quota-sets/{PROJECT}"))["quota_set"]
        assert (own["cores"], own["ram"]) == (5, -1)
        others = (await api.get(f"/os-quota-sets/{OTHER_PROJECT}"))["quota_set"]
        assert (others["cores"], others["instances"]) == (3, 10)

    @pytest.mark.parametrize(
        ("who", "name", "body", "status", "said"),
        [
            ("alice", "default", {"cores": 1}, 403, "Policy doesn't allow os_compute_api:os-quota-class-sets:update"),
            ("admin", "x" * 256, {"cores": 1}, 400, "quota_class_name has 256 characters, more than 255."),
            ("admin", "default", {"cores": -2}, 400, "Invalid input for field/attribute cores."),
            ("admin", "default", {"moons": 1}, 400, "Invalid input for field/attribute quota_class_set."),
        ],
    )
    async def test_what_cannot_be_said_of_a_class_is_refused(
        self, api: ComputeApi, who: str, name: str, body: object, status: int, said: str
    ) -> None:
        reply = await api.ask("PUT", f"/os-quota-class-sets/{name}", {"quota_class_set": body}, who=who)

        assert reply.status == status
        assert reply.message.startswith(said)
        assert (await api.get("/os-quota-class-sets/default"))["quota_class_set"]["cores"] == 20

    async def test_any_other_class_is_kept_and_counts_for_nobody(self, api: ComputeApi) -> None:
        await api.ask("PUT", "/os-quota-class-sets/gold", {"quota_class_set": {"cores": 99}})

        assert (await api.get("/os-quota-class-sets/gold"))["quota_class_set"]["cores"] == 99
        assert (await api.get("/os-quota-class-sets/silver"))["quota_class_set"]["cores"] == 20
        assert (await api.get(f"/os-quota-sets/{PROJECT}"))["quota_set"]["cores"] == 20

    async def test_only_administrators_see_them(self, api: ComputeApi) -> None:
        reply = await api.ask("GET", "/os-quota-class-sets/default", who="alice")

        said = "Policy doesn't allow os_compute_api:os-quota-class-sets:show to be performed."
        assert (reply.status, reply.message) == (403, said)
