"""The resources of v3: what is made, found, changed and refused."""

from typing import Any

import pytest

from tests.support.identity import IdentityWorld

UNKNOWN = "0" * 32


async def test_a_project_is_made_shown_changed_listed_and_deleted(world: IdentityWorld) -> None:
    made = await world.make("projects", "project", name="p", description="d", colour="red", tags=["a"])
    key = made["id"]

    assert made == {
        "id": key,
        "name": "p",
        "description": "d",
        "domain_id": "default",
        "parent_id": "default",
        "enabled": True,
        "is_domain": False,
        "tags": ["a"],
        "options": {},
        "colour": "red",
        "links": {"self": f"{world.url}/v3/projects/{key}"},
    }
    assert await world.get(f"/v3/projects/{key}") == {"project": made}
    change = {"name": "q", "description": None, "colour": None, "size": 5}
    changed = (await world.ask("PATCH", f"/v3/projects/{key}", {"project": change})).body["project"]
    assert changed == {name: value for name, value in made.items() if name != "colour"} | {
        "name": "q",
        "description": "",
        "size": 5,
    }
    assert (await world.get("/v3/projects?name=q"))["projects"] == [changed]
    assert (await world.ask("DELETE", f"/v3/projects/{key}")).status == 204
    assert (await world.ask("GET", f"/v3/projects/{key}")).message == f"Could not find project: {key}."


async def test_a_user_is_shown_without_its_password(world: IdentityWorld) -> None:
    made = await world.make("users", "user", name="u", password="p", email="u@example.org", description="d")

    assert made == {
        "id": made["id"],
        "name": "u",
        "domain_id": "default",
        "enabled": True,
        "description": "d",
        "email": "u@example.org",
        "options": {},
        "password_expires_at": None,
        "links": {"self": f"{world.url}/v3/users/{made['id']}"},
    }


LISTS: list[tuple[str, str, dict[str, Any]]] = [
    ("domains", "domain", {"name": "n"}),
    ("projects", "project", {"name": "n"}),
    ("users", "user", {"name": "n"}),
    ("groups", "group", {"name": "n"}),
    ("roles", "role", {"name": "n"}),
    ("regions", "region", {"id": "n"}),
    ("services", "service", {"name": "n", "type": "t"}),
]


@pytest.mark.parametrize(("collection", "member", "body"), LISTS, ids=[row[0] for row in LISTS])
async def test_every_resource_is_made_found_changed_and_deleted(
    world: IdentityWorld, collection: str, member: str, body: dict[str, Any]
) -> None:
    made = await world.make(collection, member, **body)
    path = f"/v3/{collection}/{made['id']}"

    assert made["links"]["self"] == world.url + path
    listed = await world.get(f"/v3/{collection}")
    assert made in listed[collection]
    assert listed["links"] == {"next": None, "previous": None, "self": f"{world.url}/v3/{collection}"}
    assert await world.get(path) == {member: made}
    assert (await world.ask("HEAD", path)).status == 200
    change = {"description": "changed"} | ({"enabled": False} if collection == "domains" else {})
    changed = await world.ask("PATCH", path, {member: change})
    assert changed.status == 200
    assert changed.body[member]["description"] == "changed"
    assert await world.get(path) == {member: changed.body[member]}
    assert (await world.ask("DELETE", path)).status == 204
    for method in ("GET", "DELETE", "PATCH"):
        reply = await world.ask(method, path, {member: change} if method == "PATCH" else None)
        assert (reply.status, reply.message) == (404, f"Could not find {member}: {made['id']}.")


@pytest.mark.parametrize(("collection", "member", "body"), LISTS[:-1], ids=[row[0] for row in LISTS[:-1]])
async def test_a_name_is_taken_once(world: IdentityWorld, collection: str, member: str, body: dict[str, Any]) -> None:
    await world.make(collection, member, **body)

    reply = await world.ask("POST", f"/v3/{collection}", {member: body})

    assert reply.status == 409
    assert reply.message.startswith(f"Conflict occurred attempting to store {member} - ")
    assert reply.body["error"]["title"] == "Conflict"


async def test_a_name_may_be_taken_again_in_another_domain_but_not_by_renaming(world: IdentityWorld) -> None:
    other = await world.make("domains", "domain", name="other")
    await world.make("users", "user", name="u")
    await world.make("users", "user", name="u", domain_id=other["id"])
    second = await world.make("users", "user", name="v")

    reply = await world.ask("PATCH", f"/v3/users/{second['id']}", {"user": {"name": "u"}})

    assert reply.status == 409
    assert reply.message == (
        "Conflict occurred attempting to store user - Duplicate entry found with name u at domain ID default."
    )


@pytest.mark.parametrize(
    ("collection", "member", "body", "message"),
    [
        ("projects", "project", {"description": "x"}, "'name' is a required property"),
        ("projects", "project", {}, "'name' is a required property"),
        ("projects", "project", {"name": ""}, "attribute name. Value: . '' should be non-empty"),
        ("projects", "project", {"name": "   "}, "'   ' does not match '[\\\\S]+'"),
        ("projects", "project", {"name": "x" * 65}, "is too long"),
        ("projects", "project", {"name": 5}, "5 is not of type 'string'"),
        ("projects", "project", {"name": "x", "enabled": "yes"}, "'yes' is not of type 'boolean'"),
        ("projects", "project", {"name": "x", "domain_id": UNKNOWN}, f"Could not find domain: {UNKNOWN}."),
        ("projects", "project", {"name": "x", "parent_id": UNKNOWN}, f"Could not find project: {UNKNOWN}."),
        ("projects", "project", {"name": "x", "tags": [1]}, "1 is not of type 'string'"),
        ("projects", "project", {"name": "x", "tags": ["a,b"]}, "does not match"),
        ("users", "user", {"name": "x", "password": 5}, "attribute password. Value: ***."),
        ("users", "user", {"name": "x" * 256}, "is too long"),
        ("services", "service", {"name": "x"}, "'type' is a required property"),
        ("endpoints", "endpoint", {"interface": "public", "url": "http://x"}, "'service_id' is a required property"),
        (
            "endpoints",
            "endpoint",
            {"interface": "secret", "url": "http://x", "service_id": UNKNOWN},
            "'secret' is not one of ['admin', 'internal', 'public']",
        ),
        (
            "endpoints",
            "endpoint",
            {"interface": "public", "url": "nonsense", "service_id": UNKNOWN},
            "'nonsense' does not match",
        ),
        (
            "endpoints",
            "endpoint",
            {"interface": "public", "url": "http://x/$(nope)s", "service_id": UNKNOWN},
            "Cannot create an endpoint with an invalid URL: http://x/$(nope)s.",
        ),
        (
            "endpoints",
            "endpoint",
            {"interface": "public", "url": "http://x", "service_id": UNKNOWN},
            f"Could not find service: {UNKNOWN}.",
        ),
        ("domains", "domain", {"name": "x", "explicit_domain_id": "short"}, "Domain ID does not conform"),
    ],
)
async def test_what_cannot_be_is_refused_by_name(
    world: IdentityWorld, collection: str, member: str, body: dict[str, Any], message: str
) -> None:
    reply = await world.ask("POST", f"/v3/{collection}", {member: body})

    assert reply.status == 400
    assert message in reply.message
    assert reply.body["error"]["title"] == "Bad Request"


async def test_projects_are_filtered_exactly_and_roughly(world: IdentityWorld) -> None:
    for name, enabled in (("alpha", True), ("Beta", False), ("gamma", True)):
        await world.make("projects", "project", name=name, enabled=enabled, tags=[name[0].lower(), "x"])

    async def found(query: str) -> list[str]:
        names = [project["name"] for project in (await world.get(f"/v3/projects?{query}"))["projects"]]
        return sorted(name for name in names if name not in ("admin", "service"))

    assert await found("name=alpha") == ["alpha"]
    assert await found("name=ALPHA") == []
    assert await found("enabled=false") == await found("enabled=0") == ["Beta"]
    assert await found("enabled=true") == ["alpha", "gamma"]
    assert await found("name__contains=eta") == ["Beta"]
    assert await found("name__istartswith=b") == ["Beta"]
    assert await found("name__endswith=ma") == ["gamma"]
    assert await found("domain_id=elsewhere") == []
    assert await found("tags=x,a") == ["alpha"]
    assert await found("tags-any=a,g") == ["alpha", "gamma"]
    assert await found("not-tags-any=a,g") == ["Beta"]
    assert await found("colour=red") == ["Beta", "alpha", "gamma"]


async def test_a_project_knows_what_is_above_and_below_it(world: IdentityWorld) -> None:
    top = await world.make("projects", "project", name="top")
    mid = await world.make("projects", "project", name="mid", parent_id=top["id"])
    low = await world.make("projects", "project", name="low", parent_id=mid["id"])

    path = f"/v3/projects/{mid['id']}"
    ids = (await world.get(f"{path}?parents_as_ids&subtree_as_ids"))["project"]
    lists = (await world.get(f"{path}?parents_as_list&subtree_as_list"))["project"]

    assert ids["parents"] == {top["id"]: {"default": None}}
    assert ids["subtree"] == {low["id"]: None}
    assert [one["project"]["name"] for one in lists["parents"]] == ["top"]
    assert [one["project"]["name"] for one in lists["subtree"]] == ["low"]
    assert (await world.ask("GET", f"{path}?parents_as_ids&parents_as_list")).status == 400
    reply = await world.ask("DELETE", path)
    assert (reply.status, "not a leaf" in reply.message) == (403, True)


async def test_tags_come_and_go_one_by_one(world: IdentityWorld) -> None:
    project = await world.make("projects", "project", name="p")
    path = f"/v3/projects/{project['id']}/tags"

    assert (await world.ask("PUT", f"{path}/a")).status == 201
    assert (await world.ask("PUT", f"{path}/b")).status == 201
    assert (await world.get(path))["tags"] == ["a", "b"]
    assert (await world.ask("GET", f"{path}/a")).status == 204
    assert (await world.ask("DELETE", f"{path}/a")).status == 204
    assert (await world.ask("GET", f"{path}/a")).message == "Could not find project tag: a."
    assert (await world.ask("PUT", path, {"tags": ["x", "y"]})).body["tags"] == ["x", "y"]
    assert (await world.ask("DELETE", path)).status == 204
    assert (await world.get(path))["tags"] == []


async def test_what_is_immutable_stays_until_it_is_not(world: IdentityWorld) -> None:
    role = await world.make("roles", "role", name="fixed", options={"immutable": True})
    path = f"/v3/roles/{role['id']}"

    renamed = await world.ask("PATCH", path, {"role": {"name": "other"}})
    deleted = await world.ask("DELETE", path)

    assert (renamed.status, deleted.status) == (403, 403)
    assert renamed.message.startswith("Unable to update immutable role resource")
    assert (await world.ask("PATCH", path, {"role": {"options": {"immutable": False}}})).status == 200
    assert (await world.ask("DELETE", path)).status == 204


async def test_a_domain_is_deleted_with_all_in_it_once_it_is_disabled(world: IdentityWorld) -> None:
    domain = await world.make("domains", "domain", name="d")
    user = await world.make("users", "user", name="u", domain_id=domain["id"])
    project = await world.make("projects", "project", name="p", domain_id=domain["id"])
    await world.grant(project["id"], user["id"], "member")
    path = f"/v3/domains/{domain['id']}"

    early = await world.ask("DELETE", path)
    await world.ask("PATCH", path, {"domain": {"enabled": False}})

    assert (early.status, early.message) == (
        403,
        "Cannot delete a domain that is enabled, please disable it first.",
    )
    assert (await world.ask("DELETE", path)).status == 204
    assert (await world.ask("GET", f"/v3/users/{user['id']}")).status == 404
    assert (await world.ask("GET", f"/v3/projects/{project['id']}")).status == 404


async def test_a_grant_is_checked_listed_and_taken_away(world: IdentityWorld) -> None:
    user_id, project_id = await world.user_in_project()
    roles = f"/v3/projects/{project_id}/users/{user_id}/roles"
    member = await world.role("member")

    assert (await world.ask("HEAD", f"{roles}/{member}")).status == 204
    assert (await world.ask("PUT", f"{roles}/{member}")).status == 204
    assert [role["name"] for role in (await world.get(roles))["roles"]] == ["member"]
    assert (await world.ask("DELETE", f"{roles}/{member}")).status == 204
    again = await world.ask("DELETE", f"{roles}/{member}")
    assert (again.status, (await world.ask("HEAD", f"{roles}/{member}")).status) == (404, 404)
    assert again.message == (
        f"Could not find role assignment with role: {member}, user or group: {user_id}, "
        f"project, domain, or system: {project_id}."
    )


@pytest.mark.parametrize("part", ["user", "project", "role"])
async def test_a_grant_needs_all_its_parts(world: IdentityWorld, part: str) -> None:
    user_id, project_id = await world.user_in_project()
    parts = {"user": user_id, "project": project_id, "role": await world.role("reader")} | {part: UNKNOWN}

    reply = await world.ask("PUT", f"/v3/projects/{parts['project']}/users/{parts['user']}/roles/{parts['role']}")

    assert (reply.status, reply.message) == (404, f"Could not find {part}: {UNKNOWN}.")


async def test_role_assignments_are_narrowed_down_named_and_worked_out(world: IdentityWorld) -> None:
    user_id, project_id = await world.user_in_project()

    async def found(query: str) -> list[Any]:
        assignments: list[Any] = (await world.get(f"/v3/role_assignments?{query}"))["role_assignments"]
        return assignments

    member = await world.role("member")
    (plain,) = await found(f"user.id={user_id}")
    assert plain == {
        "user": {"id": user_id},
        "role": {"id": member},
        "scope": {"project": {"id": project_id}},
        "links": {"assignment": f"{world.url}/v3/projects/{project_id}/users/{user_id}/roles/{member}"},
    }
    (named,) = await found(f"scope.project.id={project_id}&include_names")
    domain = {"id": "default", "name": "Default"}
    assert named["user"] == {"id": user_id, "name": "alice", "domain": domain}
    assert named["scope"]["project"] == {"id": project_id, "name": "alice-project", "domain": domain}
    assert named["role"] == {"id": member, "name": "member"}
    effective = await found(f"user.id={user_id}&effective&include_names=true")
    assert [assignment["role"]["name"] for assignment in effective] == ["member", "reader"]
    assert await found(f"user.id={user_id}&role.id={await world.role('admin')}") == []
    assert [one["scope"] for one in await found("scope.system=all")] == [{"system": {"all": True}}]
    refused = await world.ask("GET", "/v3/role_assignments?user.id=1&group.id=2")
    assert (refused.status, refused.message) == (400, "Specify a user or group, not both")


async def test_a_region_is_made_under_its_name_and_stays_while_it_is_used(world: IdentityWorld) -> None:
    made = await world.ask(
        "PUT", "/v3/regions/Mars", {"region": {"description": "red", "parent_region_id": "RegionOne"}}
    )
    deleted = await world.ask("DELETE", "/v3/regions/RegionOne")

    assert made.status == 201
    assert made.body["region"]["id"] == "Mars"
    assert (await world.ask("PUT", "/v3/regions/Mars", {"region": {"id": "Venus"}})).status == 400
    circle = await world.ask("PATCH", "/v3/regions/RegionOne", {"region": {"parent_region_id": "Mars"}})
    assert (circle.status, "circular" in circle.message) == (400, True)
    assert deleted.status == 403
    assert deleted.message == (
        "Unable to delete region RegionOne because it or its child regions have associated endpoints."
    )


async def test_services_go_with_their_endpoints(world: IdentityWorld) -> None:
    service = await world.make("services", "service", type="t")
    point = {"service_id": service["id"], "interface": "public", "url": "http://x", "region_id": "RegionOne"}
    endpoint = await world.make("endpoints", "endpoint", **point)

    assert endpoint["region"] == endpoint["region_id"] == "RegionOne"
    assert (await world.get(f"/v3/endpoints?service_id={service['id']}"))["endpoints"] == [endpoint]
    assert (await world.get(f"/v3/endpoints?service_id={service['id']}&interface=admin"))["endpoints"] == []
    moved = await world.ask("PATCH", f"/v3/endpoints/{endpoint['id']}", {"endpoint": {"url": "http://y"}})
    assert moved.body["endpoint"]["url"] == "http://y"
    assert (await world.ask("DELETE", f"/v3/services/{service['id']}")).status == 204
    assert (await world.ask("GET", f"/v3/endpoints/{endpoint['id']}")).status == 404
