"""Who may do what: administrators everything, a user what is its own, no one anything without a token."""

import pytest

from tests.support.identity import IdentityWorld

ADMIN_ONLY = [
    ("GET", "/v3/users"),
    ("POST", "/v3/users"),
    ("PATCH", "/v3/users/{user}"),
    ("DELETE", "/v3/users/{user}"),
    ("GET", "/v3/users/{other}"),
    ("GET", "/v3/users/{other}/projects"),
    ("GET", "/v3/users/{other}/groups"),
    ("GET", "/v3/projects"),
    ("POST", "/v3/projects"),
    ("PATCH", "/v3/projects/{project}"),
    ("DELETE", "/v3/projects/{project}"),
    ("GET", "/v3/projects/{elsewhere}"),
    ("PUT", "/v3/projects/{project}/tags/x"),
    ("GET", "/v3/domains"),
    ("POST", "/v3/domains"),
    ("GET", "/v3/groups"),
    ("PUT", "/v3/groups/{other}/users/{user}"),
    ("GET", "/v3/roles"),
    ("POST", "/v3/roles"),
    ("GET", "/v3/role_assignments"),
    ("GET", "/v3/role_inferences"),
    ("GET", "/v3/projects/{project}/users/{user}/roles"),
    ("PUT", "/v3/projects/{project}/users/{user}/roles/admin"),
    ("DELETE", "/v3/system/users/{user}/roles/admin"),
    ("GET", "/v3/services"),
    ("POST", "/v3/services"),
    ("GET", "/v3/endpoints"),
    ("POST", "/v3/endpoints"),
    ("POST", "/v3/regions"),
    ("PUT", "/v3/regions/x"),
    ("GET", "/v2.0/users"),
    ("POST", "/v2.0/users"),
    ("PUT", "/v2.0/users/{user}"),
    ("PUT", "/v2.0/users/{user}/OS-KSADM/password"),
    ("GET", "/v2.0/tenants/{project}"),
    ("POST", "/v2.0/tenants"),
    ("PUT", "/v2.0/tenants/{project}/users/{user}/roles/OS-KSADM/x"),
    ("GET", "/v2.0/OS-KSADM/roles"),
    ("POST", "/v2.0/OS-KSADM/services"),
    ("GET", "/v2.0/endpoints"),
    ("GET", "/v2.0/tokens/{token}"),
    ("DELETE", "/v2.0/tokens/{token}"),
]
OWN = [
    ("GET", "/v3/users/{user}"),
    ("GET", "/v3/users/{user}/projects"),
    ("GET", "/v3/users/{user}/groups"),
    ("GET", "/v3/projects/{project}"),
    ("GET", "/v3/projects/{project}/tags"),
    ("GET", "/v3/domains/default"),
    ("GET", "/v3/regions"),
    ("GET", "/v3/regions/RegionOne"),
    ("GET", "/v3/auth/projects"),
    ("GET", "/v3/auth/catalog"),
    ("GET", "/v2.0/tenants"),
]
PUBLIC = [
    ("GET", "/", 300),
    ("GET", "/v3", 200),
    ("GET", "/v3/", 200),
    ("GET", "/v2.0", 200),
    ("GET", "/v2.0/", 200),
    ("GET", "/v2.0/extensions", 200),
    ("GET", "/v2.0/extensions/OS-KSADM", 200),
    ("POST", "/v3/auth/tokens", 400),
    ("POST", "/v2.0/tokens", 400),
]


async def test_only_administrators_may(world: IdentityWorld) -> None:
    facts = await _facts(world)

    for method, path in ADMIN_ONLY:
        body: object = {} if method in ("POST", "PUT", "PATCH") else None
        reply = await world.ask(method, path.format(**facts), body, token=facts["token"])
        assert (method, path, reply.status) == (method, path, 403)
        assert reply.message.startswith("You are not authorized to perform the requested action: ")
        assert reply.body["error"]["title"] == "Forbidden"


async def test_a_user_may_see_what_is_its_own(world: IdentityWorld) -> None:
    facts = await _facts(world)

    for method, path in OWN:
        reply = await world.ask(method, path.format(**facts), token=facts["token"])
        assert (method, path, reply.status) == (method, path, 200)


@pytest.mark.parametrize("token", ["", "nonsense", "0" * 32])
async def test_nothing_goes_without_a_valid_token(world: IdentityWorld, token: str) -> None:
    facts = dict.fromkeys(("user", "other", "project", "elsewhere", "token"), "x")

    for method, path in ADMIN_ONLY + OWN:
        reply = await world.ask(method, path.format(**facts), token=token)
        assert (method, path, reply.status) == (method, path, 401)
        assert reply.message == "The request you have made requires authentication."


async def test_what_is_public_needs_no_token(world: IdentityWorld) -> None:
    for method, path, status in PUBLIC:
        assert (method, path, (await world.ask(method, path, token="")).status) == (method, path, status)


async def test_an_unscoped_token_of_an_administrator_has_no_rights(world: IdentityWorld) -> None:
    token = await world.token_of("admin", "the administrator's")

    assert (await world.ask("GET", "/v3/users", token=token)).status == 403


async def test_a_user_changes_its_password_by_knowing_the_old_one(world: IdentityWorld) -> None:
    user_id, _ = await world.user_in_project()
    token = await world.token_of("alice", "alice", "alice-project")
    path = f"/v3/users/{user_id}/password"

    wrong = await world.ask("POST", path, {"user": {"original_password": "x", "password": "new"}}, token=token)
    right = await world.ask("POST", path, {"user": {"original_password": "alice", "password": "new"}}, token="")

    assert (wrong.status, right.status) == (401, 204)
    assert not await world.is_valid(token)
    assert (await world.log_in("alice", "alice")).status == 401
    assert (await world.log_in("alice", "new")).status == 201


async def test_a_token_in_an_address_never_gets_into_a_trace(world: IdentityWorld) -> None:
    token = await world.token_of("admin", "the administrator's", "admin")

    for path in (f"/v2.0/tokens/{token}", f"/v2.0/tokens/{token}/endpoints", f"/v2.0/tokens/{token}/nothing"):
        await world.ask("GET", path)

    assert token not in str(world.spans.found)
    assert world.spans.found[-1].name == "GET /v2.0/tokens/***/nothing"


async def _facts(world: IdentityWorld) -> dict[str, str]:
    user_id, project_id = await world.user_in_project()
    other, elsewhere = await world.user_in_project("bob")
    token = await world.token_of("alice", "alice", "alice-project")
    return {"user": user_id, "project": project_id, "other": other, "elsewhere": elsewhere, "token": token}
