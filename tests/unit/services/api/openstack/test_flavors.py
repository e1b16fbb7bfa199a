"""Flavors over HTTP, as clients of Nova see them."""

from typing import Any

import pytest

from tests.support.compute_api import OTHER_PROJECT, PROJECT, ComputeApi

DEFAULTS = ["m1.tiny", "m1.small", "m1.medium", "m1.large", "m1.xlarge"]
NANO: dict[str, Any] = {"name": "nano", "ram": 64, "vcpus": 1, "disk": 1}


async def create(api: ComputeApi, **fields: object) -> Any:
    reply = await api.ask("POST", "/flavors", {"flavor": {**NANO, **fields}})
    assert reply.status == 200, reply.body
    return reply.body["flavor"]


async def names(api: ComputeApi, query: str = "", who: str = "alice") -> list[str]:
    return [flavor["name"] for flavor in (await api.get(f"/flavors{query}", who=who))["flavors"]]


async def test_a_fresh_cloud_has_the_five_that_everyone_knows(api: ComputeApi) -> None:
    assert await names(api) == DEFAULTS


@pytest.mark.parametrize("below", ["/v2.1", "/v2", f"/v2.1/{PROJECT}", f"/v2/{PROJECT}"])
async def test_they_answer_below_every_form_of_url(api: ComputeApi, below: str) -> None:
    found = await api.get("/flavors/1", who="alice", below=below)

    assert found["flavor"]["links"][0] == {"rel": "self", "href": f"{api.root}{below}/flavors/1"}


async def test_a_flavor_is_shown_as_nova_shows_it(api: ComputeApi) -> None:
    found = await api.get("/flavors/1", who="alice")

    assert found == {
        "flavor": {
            "id": "1",
            "name": "m1.tiny",
            "ram": 512,
            "disk": 1,
            "vcpus": 1,
            "swap": "",
            "rxtx_factor": 1.0,
            "OS-FLV-EXT-DATA:ephemeral": 0,
            "OS-FLV-DISABLED:disabled": False,
            "os-flavor-access:is_public": True,
            "links": [
                {"rel": "self", "href": f"{api.root}/v2.1/flavors/1"},
                {"rel": "bookmark", "href": f"{api.root}/flavors/1"},
            ],
        }
    }


async def test_a_list_in_brief_has_names_and_links_only(api: ComputeApi) -> None:
    (first, *_) = (await api.get("/flavors", who="alice"))["flavors"]

    assert sorted(first) == ["id", "links", "name"]


async def test_a_list_in_detail_has_all(api: ComputeApi) -> None:
    details = (await api.get("/flavors/detail", who="alice"))["flavors"]

    assert [await api.get(f"/flavors/{flavor['id']}", who="alice") for flavor in details] == [
        {"flavor": flavor} for flavor in details
    ]


async def test_lists_are_filtered_and_sorted(api: ComputeApi) -> None:
    assert await names(api, "?minRam=4096") == DEFAULTS[2:]
    assert await names(api, "?minDisk=100") == DEFAULTS[4:]
    assert await names(api, "?sort_key=memory_mb&sort_dir=desc") == DEFAULTS[::-1]


async def test_pages_are_linked_until_the_last(api: ComputeApi) -> None:
    path, seen = "/flavors?limit=2", []
    while path:
        page = await api.get(path, who="alice")
        seen.append([flavor["name"] for flavor in page["flavors"]])
        (link,) = page.get("flavors_links", [{"href": "/v2.1"}])
        path = link["href"].partition("/v2.1")[2]

    assert seen == [DEFAULTS[:2], DEFAULTS[2:4], DEFAULTS[4:]]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("marker=nope", "marker [nope] not found"),
        ("minRam=much", "Invalid minRam filter [much]"),
        ("minDisk=1.5", "Invalid minDisk filter [1.5]"),
        ("is_public=perhaps", "Invalid is_public filter [perhaps]"),
        ("sort_key=colour", "Invalid input for query parameters sort_key. Value: colour."),
        ("sort_dir=up", "Invalid input for query parameters sort_dir. Value: up."),
        ("limit=-1", "Invalid input for query parameters limit. Value: -1."),
        ("limit=x", "Invalid input for query parameters limit. Value: x."),
    ],
)
async def test_a_bad_query_is_refused_by_name(api: ComputeApi, query: str, said: str) -> None:
    reply = await api.ask("GET", f"/flavors?{query}")

    assert reply.status == 400
    assert reply.message.startswith(said)


async def test_what_is_made_is_what_was_asked_for(api: ComputeApi) -> None:
    given = {
        "id": "n.1",
        "name": "nano two",
        "ram": "64",
        "vcpus": 2,
        "disk": 0,
        "OS-FLV-EXT-DATA:ephemeral": 3,
        "swap": 16,
        "rxtx_factor": "2.5",
        "os-flavor-access:is_public": "no",
    }

    made = await create(api, **given)

    assert {key: made[key] for key in given} == given | {
        "ram": 64,
        "rxtx_factor": 2.5,
        "os-flavor-access:is_public": False,
    }
    assert (await api.get("/flavors/n.1"))["flavor"] == made


@pytest.mark.parametrize("fields", [{}, {"id": None}])
async def test_an_id_is_made_up_where_none_is_given(api: ComputeApi, fields: dict[str, None]) -> None:
    assert len((await create(api, **fields))["id"]) == 36


async def test_a_number_is_an_id_too(api: ComputeApi) -> None:
    assert (await create(api, id=42))["id"] == "42"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"id": "1"}, "Flavor with ID 1 already exists."),
        ({"name": "m1.tiny"}, "Flavor with name m1.tiny already exists."),
    ],
)
async def test_ids_and_names_are_unique(api: ComputeApi, fields: dict[str, str], said: str) -> None:
    reply = await api.ask("POST", "/flavors", {"flavor": {**NANO, **fields}})

    assert (reply.status, reply.message) == (409, said)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", " nano"),
        ("name", "x" * 256),
        ("name", 7),
        ("id", ""),
        ("id", " x"),
        ("id", "a/b"),
        ("id", "x" * 256),
        ("id", True),
        ("ram", 0),
        ("ram", "much"),
        ("ram", 2**31),
        ("ram", 1.5),
        ("ram", None),
        ("vcpus", -1),
        ("vcpus", True),
        ("disk", -1),
        ("swap", -1),
        ("swap", ""),
        ("OS-FLV-EXT-DATA:ephemeral", -1),
        ("rxtx_factor", 0),
        ("rxtx_factor", -1.5),
        ("rxtx_factor", "fast"),
        ("rxtx_factor", 1e39),
        ("os-flavor-access:is_public", "perhaps"),
    ],
)
async def test_a_bad_field_is_named(api: ComputeApi, field: str, value: object) -> None:
    reply = await api.ask("POST", "/flavors", {"flavor": {**NANO, field: value}})

    assert reply.status == 400
    assert field in reply.message or "'name'" in reply.message


@pytest.mark.parametrize("missing", ["name", "ram", "vcpus", "disk"])
async def test_a_missing_field_is_named(api: ComputeApi, missing: str) -> None:
    body = {"flavor": {key: value for key, value in NANO.items() if key != missing}}

    reply = await api.ask("POST", "/flavors", body)

    assert reply.status == 400
    assert f"'{missing}' is a required property" in reply.message


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "'flavor' is a required property"),
        ({"flavor": 5}, "is not of type 'object'"),
        ({"flavor": {**NANO, "colour": "red"}}, "'colour' was unexpected"),
        ({"flavor": NANO, "more": 1}, "'more' was unexpected"),
        ({"flavor": {**NANO, "description": "since 2.55"}}, "'description' was unexpected"),
    ],
)
async def test_a_body_of_another_form_is_refused(api: ComputeApi, body: object, said: str) -> None:
    reply = await api.ask("POST", "/flavors", body)

    assert reply.status == 400
    assert said in reply.message


async def test_what_is_deleted_is_gone(api: ComputeApi) -> None:
    await create(api, id="gone")

    reply = await api.ask("DELETE", "/flavors/gone")

    assert (reply.status, reply.body) == (202, None)
    again = await api.ask("DELETE", "/flavors/gone")
    assert (again.status, again.message) == (404, "Flavor gone could not be found.")
    assert (await api.ask("GET", "/flavors/gone")).status == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "rule"),
    [
        ("POST", "/flavors", {"flavor": NANO}, "os-flavor-manage:create"),
        ("DELETE", "/flavors/1", None, "os-flavor-manage:delete"),
        ("POST", "/flavors/1/os-extra_specs", {"extra_specs": {"a": "b"}}, "os-flavor-extra-specs:create"),
        ("PUT", "/flavors/1/os-extra_specs/a", {"a": "b"}, "os-flavor-extra-specs:update"),
        ("DELETE", "/flavors/1/os-extra_specs/a", None, "os-flavor-extra-specs:delete"),
        ("GET", "/flavors/1/os-flavor-access", None, "os-flavor-access"),
        ("POST", "/flavors/1/action", {"addTenantAccess": {"tenant": "x"}}, "os-flavor-access:add_tenant_access"),
        ("POST", "/flavors/1/action", {"removeTenantAccess": {"tenant": "x"}}, "os-flavor-access:remove_tenant_access"),
    ],
)
async def test_only_administrators_change_flavors(
    api: ComputeApi, method: str, path: str, body: object, rule: str
) -> None:
    reply = await api.ask(method, path, body, who="alice")

    assert reply.status == 403
    assert reply.message == f"Policy doesn't allow os_compute_api:{rule} to be performed."


class TestExtraSpecs:
    async def test_they_are_added_replaced_and_removed(self, api: ComputeApi) -> None:
        first = await api.ask("POST", "/flavors/1/os-extra_specs", {"extra_specs": {"hw:a": "1", "b": 2}})
        second = await api.ask("PUT", "/flavors/1/os-extra_specs/b", {"b": "3"})
        third = await api.ask("DELETE", "/flavors/1/os-extra_specs/hw:a")

        assert (first.status, first.body) == (200, {"extra_specs": {"hw:a": "1", "b": "2"}})
        assert (second.status, second.body) == (200, {"b": "3"})
        assert (third.status, third.body) == (200, None)
        assert await api.get("/flavors/1/os-extra_specs", who="alice") == {"extra_specs": {"b": "3"}}
        assert await api.get("/flavors/1/os-extra_specs/b", who="alice") == {"b": "3"}

    async def test_adding_keeps_the_others(self, api: ComputeApi) -> None:
        await api.ask("POST", "/flavors/1/os-extra_specs", {"extra_specs": {"a": "1"}})
        await api.ask("POST", "/flavors/1/os-extra_specs", {"extra_specs": {"b": "2"}})

        assert await api.get("/flavors/1/os-extra_specs") == {"extra_specs": {"a": "1", "b": "2"}}

    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    async def test_one_that_is_not_there_is_named(self, api: ComputeApi, method: str) -> None:
        reply = await api.ask(method, "/flavors/1/os-extra_specs/nope")

        assert (reply.status, reply.message) == (404, "Flavor 1 has no extra specs with key nope.")

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("GET", "", None),
            ("POST", "", {"extra_specs": {"a": "b"}}),
            ("GET", "/a", None),
            ("PUT", "/a", {"a": "b"}),
            ("DELETE", "/a", None),
        ],
    )
    async def test_a_flavor_that_is_not_there_is_named(
        self, api: ComputeApi, method: str, path: str, body: object
    ) -> None:
        reply = await api.ask(method, f"/flavors/nope/os-extra_specs{path}", body)

        assert (reply.status, reply.message) == (404, "Flavor nope could not be found.")

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("POST", "", {"extra_specs": {"": "x"}}),
            ("POST", "", {"extra_specs": {"é": "x"}}),
            ("POST", "", {"extra_specs": {"k" * 256: "x"}}),
            ("POST", "", {"extra_specs": {"k": "x" * 256}}),
            ("POST", "", {"extra_specs": {"k": None}}),
            ("POST", "", {"extra_specs": {"k": True}}),
            ("POST", "", {"specs": {}}),
            ("PUT", "/a", {}),
            ("PUT", "/a", {"a": "1", "b": "2"}),
            ("PUT", "/a", {"b": "2"}),
        ],
    )
    async def test_bad_ones_change_nothing(self, api: ComputeApi, method: str, path: str, body: object) -> None:
        reply = await api.ask(method, f"/flavors/1/os-extra_specs{path}", body)

        assert reply.status == 400
        assert await api.get("/flavors/1/os-extra_specs") == {"extra_specs": {}}


class TestAccess:
    """Private flavors and the projects that were given them."""

    @pytest.fixture(autouse=True)
    async def private(self, api: ComputeApi) -> None:
        await create(api, id="p", name="private", **{"os-flavor-access:is_public": False})

    async def give(self, api: ComputeApi, project: str = PROJECT, flavor: str = "p", version: str = "2.7") -> Any:
        body = {"addTenantAccess": {"tenant": project}}
        return await api.ask("POST", f"/flavors/{flavor}/action", body, version=version)

    async def test_nobody_else_sees_a_private_one(self, api: ComputeApi) -> None:
        assert await names(api) == DEFAULTS
        assert (await api.ask("GET", "/flavors/p", who="alice")).status == 404
        assert (await api.ask("GET", "/flavors/p/os-extra_specs", who="alice")).status == 404

    async def test_administrators_see_it_when_they_ask(self, api: ComputeApi) -> None:
        assert await names(api, who="admin") == DEFAULTS
        assert await names(api, "?is_public=false", who="admin") == ["private"]
        assert await names(api, "?is_public=None", who="admin") == [*DEFAULTS, "private"]
        assert (await api.get("/flavors/p"))["flavor"]["name"] == "private"

    async def test_a_project_sees_what_it_was_given(self, api: ComputeApi) -> None:
        given = await self.give(api)

        assert (given.status, given.body) == (200, {"flavor_access": [{"flavor_id": "p", "tenant_id": PROJECT}]})
        assert await names(api) == [*DEFAULTS, "private"]
        assert await names(api, who="bob") == DEFAULTS
        assert (await api.get("/flavors/p", who="alice"))["flavor"]["id"] == "p"

    async def test_what_is_taken_back_is_not_seen_any_more(self, api: ComputeApi) -> None:
        await self.give(api)
        await self.give(api, OTHER_PROJECT)

        taken = await api.ask("POST", "/flavors/p/action", {"removeTenantAccess": {"tenant": PROJECT}})

        left = {"flavor_access": [{"flavor_id": "p", "tenant_id": OTHER_PROJECT}]}
        assert (taken.status, taken.body) == (200, left)
        assert await api.get("/flavors/p/os-flavor-access") == left
        assert await names(api) == DEFAULTS

    async def test_giving_twice_is_a_conflict(self, api: ComputeApi) -> None:
        await self.give(api)

        again = await self.give(api)

        said = f"Flavor access already exists for flavor p and project {PROJECT} combination."
        assert (again.status, again.message) == (409, said)

    async def test_taking_what_was_not_given_is_not_found(self, api: ComputeApi) -> None:
        reply = await api.ask("POST", "/flavors/p/action", {"removeTenantAccess": {"tenant": PROJECT}})

        assert (reply.status, reply.message) == (404, f"Flavor access not found for p / {PROJECT} combination.")

    async def test_a_public_one_cannot_be_given_away(self, api: ComputeApi) -> None:
        refused = await self.give(api, flavor="1")
        taken_in_old_versions = await self.give(api, flavor="1", version="2.6")
        listed = await api.ask("GET", "/flavors/1/os-flavor-access")

        assert (refused.status, refused.message) == (409, "Can not add access to a public flavor.")
        assert taken_in_old_versions.status == 200
        assert (listed.status, listed.message) == (404, "Access list not available for public flavors.")

    async def test_one_that_is_not_there_is_named(self, api: ComputeApi) -> None:
        reply = await self.give(api, flavor="nope")

        assert (reply.status, reply.message) == (404, "Flavor nope could not be found.")

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"paint": {}},
            {"addTenantAccess": {"tenant": "a"}, "removeTenantAccess": {"tenant": "a"}},
            {"addTenantAccess": {}},
            {"addTenantAccess": {"tenant": ""}},
            {"addTenantAccess": {"tenant": 5}},
            {"addTenantAccess": {"tenant": "x" * 65}},
            {"addTenantAccess": {"tenant": "a", "more": 1}},
        ],
    )
    async def test_a_bad_action_is_refused(self, api: ComputeApi, body: object) -> None:
        reply = await api.ask("POST", "/flavors/p/action", body)

        assert reply.status == 400
        assert await api.get("/flavors/p/os-flavor-access") == {"flavor_access": []}
