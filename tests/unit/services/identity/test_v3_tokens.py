"""Tokens by v3: logging in, scopes, rescoping, asking about tokens."""

import asyncio
from typing import Any

import pytest

from novaflow.identity.passwords import Passwords
from tests.support.identity import ADMIN_PASSWORD, IdentityWorld, login

REFUSAL = "The request you have made requires authentication."
BY_NAME = {"project": {"name": "admin", "domain": {"name": "Default"}}}


async def test_a_login_shows_who_where_with_which_roles_and_which_services(world: IdentityWorld) -> None:
    reply = await world.log_in("admin", ADMIN_PASSWORD, "admin")

    token = reply.body["token"]
    assert reply.status == 201
    assert len(reply.headers["X-Subject-Token"]) == 32
    assert reply.headers["Vary"] == "X-Auth-Token"
    assert token["methods"] == ["password"]
    assert token["user"]["name"] == "admin"
    assert token["user"]["domain"] == {"id": "default", "name": "Default"}
    assert token["user"]["password_expires_at"] is None
    assert token["project"]["name"] == "admin"
    assert token["is_domain"] is False
    assert [role["name"] for role in token["roles"]] == ["admin", "manager", "member", "reader"]
    assert token["issued_at"] == "2026-01-02T03:04:05.678901Z"
    assert token["expires_at"] == "2026-01-02T04:04:05.000000Z"
    assert len(token["audit_ids"]) == 1
    assert {entry["type"] for entry in token["catalog"]} == {"identity", "image", "compute", "compute_legacy", "ec2"}


async def test_the_span_of_a_login_has_the_audit_id_and_no_secret(world: IdentityWorld) -> None:
    reply = await world.log_in("admin", ADMIN_PASSWORD, "admin")

    span = world.spans.found[-1]
    assert span.name == "POST /v3/auth/tokens"
    assert span.attributes["audit_id"] == reply.body["token"]["audit_ids"][0]
    shown = str(world.spans.found)
    assert ADMIN_PASSWORD not in shown
    assert reply.headers["X-Subject-Token"] not in shown


async def test_a_project_is_named_by_id_or_by_name_in_a_domain(world: IdentityWorld) -> None:
    first = await world.ask("POST", "/v3/auth/tokens", login("admin", ADMIN_PASSWORD, scope=BY_NAME))
    by_id = {"project": {"id": first.body["token"]["project"]["id"]}}
    second = await world.ask("POST", "/v3/auth/tokens", login("admin", ADMIN_PASSWORD, scope=by_id))

    assert first.body["token"]["project"] == second.body["token"]["project"]


async def test_without_a_scope_a_token_has_no_roles_and_no_catalogue(world: IdentityWorld) -> None:
    reply = await world.log_in("admin", ADMIN_PASSWORD)

    assert not {"project", "roles", "catalog", "is_domain"} & set(reply.body["token"])


async def test_without_a_scope_the_users_own_project_is_taken_if_it_has_a_role_there(world: IdentityWorld) -> None:
    user_id, project_id = await world.user_in_project()
    for project, is_scoped in ((project_id, True), (await _project_of(world, "admin"), False), ("gone", False)):
        await world.ask("PATCH", f"/v3/users/{user_id}", {"user": {"default_project_id": project}})
        assert ("project" in (await world.log_in("alice", "alice")).body["token"]) is is_scoped

    await world.ask("PATCH", f"/v3/users/{user_id}", {"user": {"default_project_id": project_id}})
    unscoped = await world.ask("POST", "/v3/auth/tokens", login("alice", "alice", scope="unscoped"))
    assert "project" not in unscoped.body["token"]


async def test_domains_and_the_system_are_scopes_too(world: IdentityWorld) -> None:
    admin = (await world.log_in("admin", ADMIN_PASSWORD)).body["token"]["user"]["id"]
    await world.ask("PUT", f"/v3/domains/default/users/{admin}/roles/{await world.role('admin')}")

    domain = await world.ask(
        "POST", "/v3/auth/tokens", login("admin", ADMIN_PASSWORD, scope={"domain": {"name": "Default"}})
    )
    system = await world.ask("POST", "/v3/auth/tokens", login("admin", ADMIN_PASSWORD, scope={"system": {"all": True}}))

    assert domain.body["token"]["domain"] == {"id": "default", "name": "Default"}
    assert system.body["token"]["system"] == {"all": True}
    for reply in (domain, system):
        assert reply.body["token"]["roles"][0]["name"] == "admin"
        assert await world.is_valid(reply.headers["X-Subject-Token"])


@pytest.mark.parametrize(
    ("name", "password", "project"),
    [
        ("admin", "wrong", "admin"),
        ("admin", "", None),
        ("nobody", "wrong", None),
        ("nobody", ADMIN_PASSWORD, "admin"),
        ("admin", ADMIN_PASSWORD, "service"),
        ("admin", ADMIN_PASSWORD, "nowhere"),
        ("off", "off", None),
        ("silent", "", None),
    ],
)
async def test_every_refused_login_is_answered_alike(
    world: IdentityWorld, name: str, password: str, project: str | None
) -> None:
    await world.make("users", "user", name="off", password="off", enabled=False)
    await world.make("users", "user", name="silent")

    reply = await world.log_in(name, password, project)

    assert (reply.status, reply.body) == (401, {"error": {"code": 401, "message": REFUSAL, "title": "Unauthorized"}})
    assert reply.headers["WWW-Authenticate"] == f'Keystone uri="{world.url}/v3"'


async def test_a_token_makes_another_one_that_ends_with_it_and_is_of_its_chain(world: IdentityWorld) -> None:
    await world.user_in_project()
    first = await world.log_in("alice", "alice")
    auth = {"identity": {"methods": ["token"], "token": {"id": first.headers["X-Subject-Token"]}}}
    scope = {"project": {"name": "alice-project", "domain": {"id": "default"}}}

    second = await world.ask("POST", "/v3/auth/tokens", {"auth": {**auth, "scope": scope}}, token="")

    assert second.status == 201
    assert second.body["token"]["project"]["name"] == "alice-project"
    assert second.body["token"]["methods"] == ["token", "password"]
    assert second.body["token"]["expires_at"] == first.body["token"]["expires_at"]
    assert second.body["token"]["audit_ids"][1] == first.body["token"]["audit_ids"][0]


@pytest.mark.parametrize("token", ["", "x", "0" * 32, "\u00e4", "0" * 9000])
async def test_what_is_no_token_makes_none(world: IdentityWorld, token: str) -> None:
    auth = {"identity": {"methods": ["token"], "token": {"id": token}}}

    assert (await world.ask("POST", "/v3/auth/tokens", {"auth": auth}, token="")).status == 401


async def test_services_and_administrators_may_ask_about_any_token_others_about_their_own(world: IdentityWorld) -> None:
    user_id, project_id = await world.user_in_project()
    await world.user_in_project("bob")
    admin, alice, bob = (
        world.token,
        await world.token_of("alice", "alice", "alice-project"),
        await world.token_of("bob", "bob", "bob-project"),
    )

    async def status(asker: str, about: str, method: str = "GET") -> int:
        return (await world.ask(method, "/v3/auth/tokens", token=asker, headers={"X-Subject-Token": about})).status

    assert await status(admin, alice) == 200
    assert await status(alice, alice) == 200
    assert await status(alice, bob) == 403
    assert await status(alice, "0" * 32) == 403
    assert await status(admin, "0" * 32) == 404
    assert await status("0" * 32, alice) == 401
    assert await status(alice, bob, "DELETE") == 403
    await world.grant(project_id, user_id, "service")
    assert await status(alice, bob) == 200
    assert await status(alice, bob, "DELETE") == 403
    assert await status(bob, bob, "DELETE") == 204
    assert await status(bob, bob) == 401


async def test_asking_needs_to_say_about_which_token(world: IdentityWorld) -> None:
    assert (await world.ask("GET", "/v3/auth/tokens")).status == 400


async def test_a_token_is_shown_as_it_was_issued_and_without_its_catalogue_if_wanted(world: IdentityWorld) -> None:
    issued = await world.log_in("admin", ADMIN_PASSWORD, "admin")
    headers = {"X-Subject-Token": issued.headers["X-Subject-Token"]}

    shown = await world.ask("GET", "/v3/auth/tokens", headers=headers)
    short = await world.ask("GET", "/v3/auth/tokens?nocatalog", headers=headers)
    head = await world.ask("HEAD", "/v3/auth/tokens", headers=headers)

    assert shown.body == issued.body
    assert shown.headers["X-Subject-Token"] == issued.headers["X-Subject-Token"]
    assert set(issued.body["token"]) - set(short.body["token"]) == {"catalog"}
    assert (head.status, head.body) == (200, "")


async def test_the_catalogue_follows_changes_at_once(world: IdentityWorld) -> None:
    service = await world.make("services", "service", type="object-store", name="swift")
    body = {"service_id": service["id"], "interface": "public", "url": "http://s/$(project_id)s", "region": "Mars"}
    await world.make("endpoints", "endpoint", **body)
    project_id = await _project_of(world, "admin")

    async def urls() -> list[str]:
        catalogue = (await world.get("/v3/auth/catalog"))["catalog"]
        return [point["url"] for entry in catalogue if entry["type"] == "object-store" for point in entry["endpoints"]]

    assert await urls() == [f"http://s/{project_id}"]
    await world.ask("PATCH", f"/v3/services/{service['id']}", {"service": {"enabled": False}})
    assert await urls() == []
    await world.ask("PATCH", f"/v3/services/{service['id']}", {"service": {"enabled": True}})
    assert await urls() == [f"http://s/{project_id}"]


async def test_a_user_sees_where_it_may_go(world: IdentityWorld) -> None:
    user_id, project_id = await world.user_in_project()
    token = await world.token_of("alice", "alice")

    assert [p["id"] for p in (await world.get("/v3/auth/projects", token=token))["projects"]] == [project_id]
    assert (await world.get("/v3/auth/domains", token=token))["domains"] == []
    assert (await world.get("/v3/auth/system", token=token))["system"] == []
    await world.ask("PUT", f"/v3/domains/default/users/{user_id}/roles/{await world.role('reader')}")
    assert [d["id"] for d in (await world.get("/v3/auth/domains", token=token))["domains"]] == ["default"]
    assert (await world.ask("GET", "/v3/auth/catalog", token=token)).status == 403


_PASSWORD: dict[str, Any] = login("admin", ADMIN_PASSWORD)["auth"]["identity"]


@pytest.mark.parametrize(
    ("auth", "message"),
    [
        (None, "Expecting to find auth in request body."),
        ({}, "Expecting to find auth in request body."),
        ({"identity": 1}, "Invalid input for field/attribute identity. Value: 1. 1 is not of type 'object'"),
        ({"scope": {}}, "'identity' is a required property"),
        ({"identity": {}}, "'methods' is a required property"),
        ({"identity": {"methods": "password"}}, "'password' is not of type 'array'"),
        ({"identity": {"methods": [1]}}, "1 is not of type 'string'"),
        ({"identity": {"methods": ["password"]}}, "Expecting to find password in identity."),
        ({"identity": {"methods": ["password"], "password": {}}}, "Expecting to find user in password."),
        (
            {"identity": {"methods": ["password"], "password": {"user": {"password": "x"}}}},
            "Invalid input for field identity/password/user: id or name must be present.",
        ),
        (
            {"identity": {"methods": ["password"], "password": {"user": {"name": "x", "password": "x"}}}},
            "Expecting to find domain in user.",
        ),
        (
            {"identity": {"methods": ["password"], "password": {"user": {"name": "x", "domain": {}}}}},
            "Invalid input for field identity/password/user/domain: id or name must be present.",
        ),
        (
            {"identity": {"methods": ["password"], "password": {"user": {"id": "x", "password": 12345}}}},
            "Invalid input for field/attribute password. Value: ***.",
        ),
        ({"identity": _PASSWORD, "scope": {}}, "Expecting to find system, project, domain, OS-TRUST:trust or unscoped"),
        ({"identity": _PASSWORD, "scope": {"project": {}}}, "Invalid input for field scope/project: id or name"),
        ({"identity": _PASSWORD, "scope": {"project": {"name": "x"}}}, "Expecting to find domain in project."),
        ({"identity": _PASSWORD, "scope": 5}, "5 is not of type 'object'"),
        ({"identity": {"methods": ["token"], "token": {}}}, "'id' is a required property"),
    ],
)
async def test_a_login_of_the_wrong_form_is_told_what_is_wrong(
    world: IdentityWorld, auth: object, message: str
) -> None:
    reply = await world.ask("POST", "/v3/auth/tokens", {"auth": auth}, token="")

    assert reply.status == 400
    assert message in reply.message


async def test_a_method_that_is_not_offered_gives_no_token(world: IdentityWorld) -> None:
    auth = {"identity": {"methods": ["totp"], "totp": {}}}

    assert (await world.ask("POST", "/v3/auth/tokens", {"auth": auth}, token="")).status == 401


async def test_many_wrong_logins_lock_no_one_out(world: IdentityWorld) -> None:
    refused = await asyncio.gather(*(world.log_in("admin", "wrong") for _ in range(20)))

    assert {reply.status for reply in refused} == {401}
    assert (await world.log_in("admin", ADMIN_PASSWORD)).status == 201


async def _project_of(world: IdentityWorld, name: str) -> str:
    (found,) = (await world.get(f"/v3/projects?name={name}"))["projects"]
    key: str = found["id"]
    return key


async def test_a_hash_of_other_parameters_is_replaced_at_the_next_login_and_ends_nothing(world: IdentityWorld) -> None:
    user_id, _ = await world.user_in_project()
    stronger = Passwords(world.clock, memory_kib=128, passes=1)
    old = await stronger.hash("alice")
    stronger.close()
    users = world.service.authority.records.users
    await users.update(user_id, {"password_hash": old})

    first = await world.token_of("alice", "alice")
    renewed = (await users.get(user_id)).password_hash
    second = await world.token_of("alice", "alice")

    assert renewed != old
    assert (await users.get(user_id)).password_hash == renewed
    assert await world.is_valid(first)
    assert await world.is_valid(second)
