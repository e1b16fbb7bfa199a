"""v2.0 as a client of 2014 uses it."""

from typing import Any

import pytest

from tests.support.identity import ADMIN_PASSWORD, IdentityWorld, Reply


async def log_in(world: IdentityWorld, username: str, password: str, **tenant: str) -> Reply:
    auth = {"passwordCredentials": {"username": username, "password": password}, **tenant}
    return await world.ask("POST", "/v2.0/tokens", {"auth": auth}, token="")


async def test_a_login_shows_user_tenant_roles_and_services(world: IdentityWorld) -> None:
    reply = await log_in(world, "admin", ADMIN_PASSWORD, tenantName="admin")

    access = reply.body["access"]
    assert reply.status == 200
    assert len(access["token"]["id"]) == 32
    assert access["token"]["expires"] == "2026-01-02T04:04:05Z"
    assert access["token"]["tenant"]["name"] == "admin"
    assert set(access["token"]["tenant"]) == {"id", "name", "description", "enabled"}
    assert access["user"]["username"] == access["user"]["name"] == "admin"
    assert {"name": "admin"} in access["user"]["roles"]
    assert len(access["metadata"]["roles"]) == len(access["user"]["roles"])
    services: dict[str, Any] = {entry["type"]: entry["endpoints"][0] for entry in access["serviceCatalog"]}
    assert services["identity"]["publicURL"] == f"{world.url}/v2.0"
    assert services["identity"]["adminURL"] == f"{world.admin_url}/v2.0"
    assert services["compute_legacy"]["publicURL"].endswith(f"/v2/{access['token']['tenant']['id']}")


async def test_a_tenant_is_named_by_id_as_well_and_is_not_needed(world: IdentityWorld) -> None:
    by_name = (await log_in(world, "admin", ADMIN_PASSWORD, tenantName="admin")).body["access"]["token"]["tenant"]
    by_id = (await log_in(world, "admin", ADMIN_PASSWORD, tenantId=by_name["id"])).body["access"]
    unscoped = (await log_in(world, "admin", ADMIN_PASSWORD)).body["access"]

    assert by_id["token"]["tenant"] == by_name
    assert "tenant" not in unscoped["token"]
    assert (unscoped["serviceCatalog"], unscoped["user"]["roles"]) == ([], [])


async def test_a_token_makes_one_for_a_tenant(world: IdentityWorld) -> None:
    await world.user_in_project()
    first = (await log_in(world, "alice", "alice")).body["access"]["token"]

    auth = {"token": {"id": first["id"]}, "tenantName": "alice-project"}
    second = (await world.ask("POST", "/v2.0/tokens", {"auth": auth}, token="")).body["access"]

    assert second["token"]["tenant"]["name"] == "alice-project"
    assert second["token"]["expires"] == first["expires"]


@pytest.mark.parametrize(
    ("auth", "status", "message"),
    [
        (None, 400, "Expecting to find auth in request body."),
        ({"passwordCredentials": {"username": "admin"}}, 400, "Expecting to find password in passwordCredentials."),
        (
            {"passwordCredentials": {"password": "x"}},
            400,
            "Expecting to find username or userId in passwordCredentials.",
        ),
        ({"token": {}}, 400, "Expecting to find id in token."),
        ({"passwordCredentials": 5}, 400, "attribute passwordCredentials. Value: ***."),
        ({"token": "secret"}, 400, "attribute token. Value: ***."),
        ({"passwordCredentials": {"username": "admin", "password": "wrong"}}, 401, "requires authentication"),
        ({"passwordCredentials": {"username": "nobody", "password": "x"}}, 401, "requires authentication"),
        ({"token": {"id": "0" * 32}}, 401, "requires authentication"),
    ],
)
async def test_a_refused_login_is_told_why(world: IdentityWorld, auth: object, status: int, message: str) -> None:
    reply = await world.ask("POST", "/v2.0/tokens", {"auth": auth}, token="")

    assert reply.status == status
    assert message in reply.message


async def test_tokens_of_both_versions_are_the_same(world: IdentityWorld) -> None:
    old = (await log_in(world, "admin", ADMIN_PASSWORD, tenantName="admin")).body["access"]["token"]["id"]

    assert await world.is_valid(old)
    shown = (await world.get(f"/v2.0/tokens/{world.token}"))["access"]
    assert shown["token"]["id"] == world.token
    assert shown["user"]["name"] == "admin"
    tenant = shown["token"]["tenant"]["id"]
    assert (await world.ask("HEAD", f"/v2.0/tokens/{old}?belongsTo={tenant}")).status == 200
    assert (await world.ask("GET", f"/v2.0/tokens/{old}?belongsTo=other")).status == 401
    points = (await world.get(f"/v2.0/tokens/{old}/endpoints"))["endpoints"]
    assert {point["type"] for point in points} == {"identity", "image", "compute", "compute_legacy", "ec2"}
    assert (await world.ask("DELETE", f"/v2.0/tokens/{old}")).status == 204
    assert (await world.ask("GET", f"/v2.0/tokens/{old}")).status == 404


async def test_the_admin_port_lists_all_tenants_and_the_public_one_the_askers(world: IdentityWorld) -> None:
    await world.user_in_project()

    async def names(base: str, query: str = "") -> list[str]:
        return [tenant["name"] for tenant in (await world.get(f"{base}/v2.0/tenants{query}"))["tenants"]]

    assert await names(world.url) == ["admin"]
    assert await names(world.admin_url) == ["admin", "alice-project", "service"]
    assert await names(world.admin_url, "?limit=1") == ["admin"]
    one = (await world.get(f"{world.admin_url}/v2.0/tenants?name=service"))["tenant"]
    assert one["name"] == "service"
    assert await names(world.admin_url, f"?marker={one['id']}") == []
    assert (await world.ask("GET", f"{world.admin_url}/v2.0/tenants?marker=none")).status == 400
    assert (await world.ask("GET", f"{world.admin_url}/v2.0/tenants?limit=x")).status == 400
    assert (await world.ask("GET", f"{world.admin_url}/v2.0/tenants?name=none")).status == 404


async def test_a_tenant_is_made_changed_and_deleted(world: IdentityWorld) -> None:
    made = (await world.ask("POST", "/v2.0/tenants", {"tenant": {"name": "t", "enabled": True}})).body["tenant"]
    path = f"/v2.0/tenants/{made['id']}"

    assert made == {"id": made["id"], "name": "t", "description": "", "enabled": True}
    changed = await world.ask("POST", path, {"tenant": {"id": made["id"], "name": "t2", "description": "d"}})
    assert changed.body["tenant"] == made | {"name": "t2", "description": "d"}
    assert (await world.ask("POST", "/v2.0/tenants", {"tenant": {"name": "t2"}})).status == 409
    assert (await world.ask("POST", "/v2.0/tenants", {"tenant": {}})).status == 400
    assert (await world.ask("DELETE", path)).status == 204
    assert (await world.ask("GET", path)).status == 404


async def test_a_user_is_made_in_its_tenant_changed_and_deleted(world: IdentityWorld) -> None:
    tenant = (await world.ask("POST", "/v2.0/tenants", {"tenant": {"name": "t"}})).body["tenant"]["id"]
    body = {"name": "u", "password": "p", "email": "u@example.org", "tenantId": tenant}
    made = (await world.ask("POST", "/v2.0/users", {"user": body})).body["user"]
    path = f"/v2.0/users/{made['id']}"

    assert made == {
        "id": made["id"],
        "name": "u",
        "username": "u",
        "enabled": True,
        "email": "u@example.org",
        "tenantId": tenant,
    }
    roles = (await log_in(world, "u", "p", tenantName="t")).body["access"]["user"]["roles"]
    assert roles == [{"name": "member"}, {"name": "reader"}]
    assert (await world.get(f"/v2.0/tenants/{tenant}/users"))["users"] == [made]
    assert (await world.get("/v2.0/users?name=u"))["user"] == made
    await world.ask("PUT", f"{path}/OS-KSADM/password", {"user": {"id": made["id"], "password": "new"}})
    assert (await log_in(world, "u", "p")).status == 401
    assert (await log_in(world, "u", "new")).status == 200
    await world.ask("PUT", f"{path}/OS-KSADM/enabled", {"user": {"id": made["id"], "enabled": False}})
    assert (await log_in(world, "u", "new")).status == 401
    changed = await world.ask("PUT", path, {"user": {"username": "v", "email": "v@example.org"}})
    assert (changed.body["user"]["name"], changed.body["user"]["email"]) == ("v", "v@example.org")
    assert (await world.ask("DELETE", path)).status == 204
    assert (await world.ask("GET", path)).status == 404


async def test_a_user_changes_its_own_password_and_gets_a_new_token(world: IdentityWorld) -> None:
    user_id, _ = await world.user_in_project()
    token = await world.token_of("alice", "alice", "alice-project")
    path = f"/v2.0/OS-KSCRUD/users/{user_id}"
    body = {"user": {"password": "new", "original_password": "alice"}}

    assert (await world.ask("PATCH", path, body)).status == 403
    wrong = await world.ask("PATCH", path, {"user": {"password": "new", "original_password": "x"}}, token=token)
    changed = await world.ask("PATCH", path, body, token=token)

    assert (wrong.status, changed.status) == (401, 200)
    assert not await world.is_valid(token)
    assert await world.is_valid(changed.body["access"]["token"]["id"])


async def test_roles_are_made_given_and_taken(world: IdentityWorld) -> None:
    user_id, tenant = await world.user_in_project()
    role = (await world.ask("POST", "/v2.0/OS-KSADM/roles", {"role": {"name": "r"}})).body["role"]
    path = f"/v2.0/tenants/{tenant}/users/{user_id}/roles"

    assert (await world.get(f"/v2.0/OS-KSADM/roles/{role['id']}"))["role"] == role
    assert (await world.ask("PUT", f"{path}/OS-KSADM/{role['id']}")).body["role"] == role
    assert {found["name"] for found in (await world.get(path))["roles"]} == {"member", "r"}
    assert (await world.ask("DELETE", f"{path}/OS-KSADM/{role['id']}")).status == 204
    assert {found["name"] for found in (await world.get(path))["roles"]} == {"member"}
    assert (await world.ask("DELETE", f"/v2.0/OS-KSADM/roles/{role['id']}")).status == 204


async def test_three_urls_are_one_endpoint(world: IdentityWorld) -> None:
    body = {"OS-KSADM:service": {"name": "swift", "type": "object-store", "description": "d"}}
    service = (await world.ask("POST", "/v2.0/OS-KSADM/services", body)).body["OS-KSADM:service"]
    urls = {"publicurl": "http://p/%(tenant_id)s", "adminurl": "http://a", "internalurl": "http://i"}
    made = await world.ask(
        "POST", "/v2.0/endpoints", {"endpoint": {"service_id": service["id"], "region": "Mars", **urls}}
    )

    endpoint = made.body["endpoint"]
    assert {name: endpoint[name] for name in urls} == urls
    listed = (await world.get("/v2.0/endpoints"))["endpoints"]
    assert endpoint in listed
    assert len(listed) == 6
    in_v3 = (await world.get(f"/v3/endpoints?service_id={service['id']}"))["endpoints"]
    assert {point["interface"] for point in in_v3} == {"public", "internal", "admin"}
    assert (await world.ask("DELETE", f"/v2.0/endpoints/{endpoint['id']}")).status == 204
    assert (await world.get(f"/v3/endpoints?service_id={service['id']}"))["endpoints"] == []
    assert (await world.ask("DELETE", f"/v2.0/OS-KSADM/services/{service['id']}")).status == 204
    lacking = await world.ask("POST", "/v2.0/endpoints", {"endpoint": {"service_id": "x"}})
    assert (lacking.status, "publicurl" in lacking.message) == (400, True)


async def test_other_domains_are_not_seen(world: IdentityWorld) -> None:
    domain = await world.make("domains", "domain", name="other")
    user = await world.make("users", "user", name="u", domain_id=domain["id"], password="p")
    project = await world.make("projects", "project", name="p", domain_id=domain["id"])

    assert (await log_in(world, "u", "p")).status == 401
    assert (await world.ask("GET", f"/v2.0/users/{user['id']}")).status == 404
    assert (await world.ask("GET", f"/v2.0/tenants/{project['id']}")).status == 404
