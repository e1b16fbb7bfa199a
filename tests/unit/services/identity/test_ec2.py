"""EC2 key pairs and signed requests, through both versions of the API."""

from typing import Any

import pytest

from tests.support.ec2 import Shape, as_json, presigned_v4, signed_v2, signed_v4
from tests.support.identity import START, IdentityWorld

VERSIONS = ("v3", "v2.0")
SIGNERS = (signed_v2, signed_v4, presigned_v4)
UNKNOWN = "EC2 access key not found."


class Owner:
    """A user with a role in a project and a key pair for it."""

    def __init__(self, world: IdentityWorld, user_id: str, project_id: str, token: str, pair: dict[str, Any]) -> None:
        self.world, self.user_id, self.project_id, self.token, self.pair = world, user_id, project_id, token, pair

    @property
    def keys(self) -> dict[str, str]:
        return {"access": self.pair["access"], "secret": self.pair["secret"]}

    def path(self, version: str = "v3") -> str:
        return f"/{version}/users/{self.user_id}/credentials/OS-EC2"

    async def ask_for_token(self, version: str = "v3", sign: Any = signed_v4, **options: Any) -> Any:
        body = as_json(sign(Shape("GET"), START, **self.keys))
        return await self.world.ask("POST", f"/{version}/ec2tokens", body, **options)


@pytest.fixture
async def owner(world: IdentityWorld) -> Owner:
    user_id, project_id = await world.user_in_project()
    token = await world.token_of("alice", "alice", "alice-project")
    path = f"/v3/users/{user_id}/credentials/OS-EC2"
    made = await world.ask("POST", path, {"tenant_id": project_id}, token=token)
    assert made.status == 201, made.body
    return Owner(world, user_id, project_id, token, made.body["credential"])


async def test_a_pair_is_made_listed_shown_and_deleted(world: IdentityWorld, owner: Owner) -> None:
    pair = owner.pair
    assert (len(pair["access"]), len(pair["secret"])) == (32, 32)
    assert {name: pair[name] for name in ("user_id", "tenant_id", "trust_id")} == {
        "user_id": owner.user_id,
        "tenant_id": owner.project_id,
        "trust_id": None,
    }
    assert pair["links"] == {"self": f"{world.url}{owner.path()}/{pair['access']}"}

    listed = await world.get(owner.path(), token=owner.token)
    shown = await world.get(f"{owner.path()}/{pair['access']}", token=owner.token)
    gone = await world.ask("DELETE", f"{owner.path()}/{pair['access']}", token=owner.token)

    assert (listed["credentials"], shown["credential"], gone.status) == ([pair], pair, 204)
    assert (await world.ask("GET", f"{owner.path()}/{pair['access']}", token=owner.token)).status == 404
    assert (await world.get(owner.path()))["credentials"] == []


async def test_v2_has_the_same_pairs_without_links(world: IdentityWorld, owner: Owner) -> None:
    made = await world.ask("POST", owner.path("v2.0"), {"tenant_id": owner.project_id}, token=owner.token)
    pair = made.body["credential"]

    assert (made.status, set(pair)) == (200, {"user_id", "tenant_id", "access", "secret", "trust_id"})
    listed = (await world.get(owner.path("v2.0"), token=owner.token))["credentials"]
    assert sorted(one["access"] for one in listed) == sorted([pair["access"], owner.pair["access"]])
    address = f"{owner.path('v2.0')}/{pair['access']}"
    assert (await world.get(address, token=owner.token))["credential"] == pair
    assert (await world.ask("DELETE", address, token=owner.token)).status == 204


@pytest.mark.parametrize("version", VERSIONS)
async def test_secrets_are_shown_to_their_owner_and_administrators_alone(
    world: IdentityWorld, owner: Owner, version: str
) -> None:
    _other, project_id = await world.user_in_project("mallory")
    token = await world.token_of("mallory", "mallory", "mallory-project")
    address = f"{owner.path(version)}/{owner.pair['access']}"

    for method, path, body in (
        ("GET", owner.path(version), None),
        ("POST", owner.path(version), {"tenant_id": project_id}),
        ("GET", address, None),
        ("DELETE", address, None),
    ):
        reply = await world.ask(method, path, body, token=token)
        assert (reply.status, owner.pair["secret"] in str(reply.body)) == (403, False)
        assert (await world.ask(method, path, body, token="")).status == 401
    assert (await world.get(address))["credential"]["secret"] == owner.pair["secret"]


async def test_a_pair_is_found_under_its_owner_only(world: IdentityWorld, owner: Owner) -> None:
    mallory, _project = await world.user_in_project("mallory")
    token = await world.token_of("mallory", "mallory", "mallory-project")

    for method in ("GET", "DELETE"):
        path = f"/v3/users/{mallory}/credentials/OS-EC2/{owner.pair['access']}"
        assert (await world.ask(method, path, token=token)).status == 404
    assert len((await world.get(owner.path()))["credentials"]) == 1


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_reader_has_its_pairs_shown_and_makes_none(world: IdentityWorld, version: str) -> None:
    user_id, project_id = await world.user_in_project("rita", role="reader")
    token = await world.token_of("rita", "rita", "rita-project")
    path = f"/{version}/users/{user_id}/credentials/OS-EC2"

    assert (await world.ask("POST", path, {"tenant_id": project_id}, token=token)).status == 403
    assert (await world.get(path, token=token))["credentials"] == []


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_pair_is_for_a_project_and_a_user_that_are_there(
    world: IdentityWorld, owner: Owner, version: str
) -> None:
    for body, status in (({}, 400), ({"tenant_id": 7}, 400), ({"tenant_id": None}, 400), ({"tenant_id": "x"}, 404)):
        assert (await world.ask("POST", owner.path(version), body)).status == status
    nobody = f"/{version}/users/x/credentials/OS-EC2"
    assert (await world.ask("POST", nobody, {"tenant_id": owner.project_id})).status == 404
    assert (await world.ask("GET", nobody)).status == 404


@pytest.mark.parametrize("sign", SIGNERS)
async def test_a_signed_request_is_good_for_a_token_of_the_keys_user_and_project(
    world: IdentityWorld, owner: Owner, sign: Any
) -> None:
    reply = await owner.ask_for_token("v3", sign)

    assert reply.status == 200
    shown = reply.body["token"]
    assert (shown["user"]["id"], shown["project"]["id"]) == (owner.user_id, owner.project_id)
    assert shown["methods"] == ["ec2credential"]
    assert "member" in [role["name"] for role in shown["roles"]]
    assert {service["type"] for service in shown["catalog"]} >= {"identity", "compute"}
    assert await world.is_valid(reply.headers["X-Subject-Token"])


@pytest.mark.parametrize("sign", SIGNERS)
async def test_v2_answers_with_an_access(world: IdentityWorld, owner: Owner, sign: Any) -> None:
    reply = await owner.ask_for_token("v2.0", sign)

    assert reply.status == 200
    access = reply.body["access"]
    assert (access["user"]["id"], access["token"]["tenant"]["id"]) == (owner.user_id, owner.project_id)
    assert await world.is_valid(access["token"]["id"])


@pytest.mark.parametrize("member", ["credentials", "credential", "ec2Credentials"])
async def test_every_name_that_services_have_sent_is_understood(
    world: IdentityWorld, owner: Owner, member: str
) -> None:
    body = {member: as_json(signed_v4(Shape(), START, **owner.keys))["credentials"]}

    assert (await world.ask("POST", "/v3/ec2tokens", body)).status == 200


async def test_nova_of_icehouse_learns_from_v2_whose_the_key_is(world: IdentityWorld, owner: Owner) -> None:
    signed = as_json(signed_v2(Shape("GET"), START, **owner.keys))["credentials"]
    sent = {name: signed[name] for name in ("access", "signature", "host", "verb", "path", "params")}

    reply = await world.ask("POST", "/v2.0/ec2tokens", {"ec2Credentials": sent})

    access = reply.body["access"]
    assert (access["user"]["name"], access["token"]["tenant"]["name"]) == ("alice", "alice-project")
    assert "member" in [role["name"] for role in access["user"]["roles"]]
    assert {service["type"] for service in access["serviceCatalog"]} >= {"compute", "image"}


async def test_heat_learns_from_v3_whose_the_key_is(world: IdentityWorld, owner: Owner) -> None:
    """It sends the signature of a presigned request among its parameters, as it found it there."""
    access, secret = owner.pair["access"], owner.pair["secret"]
    signed = as_json(presigned_v4(Shape("GET"), START, access=access, secret=secret))["credentials"]
    assert signed["params"]["X-Amz-Signature"] == signed["signature"]

    reply = await world.ask("POST", "/v3/ec2tokens", {"ec2Credentials": signed})

    token = reply.body["token"]
    assert (token["project"]["id"], token["project"]["name"]) == (owner.project_id, "alice-project")
    assert "member" in [role["name"] for role in token["roles"]]


@pytest.mark.parametrize("verb", ["POST", "GET"])
async def test_middleware_that_leaves_out_the_parameters_has_posts_checked(
    world: IdentityWorld, owner: Owner, verb: str
) -> None:
    """Keystonemiddleware's ec2_token does, in version 4: a POST's are in its body, whose hash it sends."""
    signed = as_json(signed_v4(Shape(verb), START, **owner.keys))["credentials"] | {"params": {}}

    reply = await world.ask("POST", "/v3/ec2tokens", {"ec2Credentials": signed})

    assert reply.status == {"POST": 200, "GET": 401}[verb]


@pytest.mark.parametrize("version", VERSIONS)
async def test_only_services_and_administrators_may_ask(world: IdentityWorld, owner: Owner, version: str) -> None:
    assert (await owner.ask_for_token(version, token="")).status == 401
    assert (await owner.ask_for_token(version, token=owner.token)).status == 403
    await world.grant(owner.project_id, owner.user_id, "service")
    token = await world.token_of("alice", "alice", "alice-project")
    assert (await owner.ask_for_token(version, token=token)).status == 200


async def test_a_token_of_a_key_is_for_other_services_alone(world: IdentityWorld, owner: Owner) -> None:
    token = (await owner.ask_for_token()).headers["X-Subject-Token"]

    listing = await world.ask("GET", owner.path(), token=token)
    assert (listing.status, listing.message) == (403, "EC2 credential tokens cannot be used for authorization.")
    again = {"auth": {"identity": {"methods": ["token"], "token": {"id": token}}}}
    assert (await world.ask("POST", "/v3/auth/tokens", again, token="")).status == 401


@pytest.mark.parametrize(
    ("changes", "status", "ec2_code", "message"),
    [
        ({"signature": "0" * 64}, 401, "SignatureDoesNotMatch", "Invalid EC2 signature."),
        ({"signature": None}, 401, "MissingParameter", "EC2 signature not supplied."),
        ({"access": None}, 401, "MissingParameter", "EC2 signature not supplied."),
        ({"access": "f" * 32}, 404, None, UNKNOWN),
        ({"access": ""}, 404, None, UNKNOWN),
        ({"access": "é" * 5000}, 404, None, UNKNOWN),
        ({"headers": {}}, 401, "IncompleteSignature", "Unexpected signature format."),
        ({"params": []}, 400, None, "Invalid input for field/attribute credentials: Expected `object`, got `array` - at `$.params`"),
        ({"path": 1}, 400, None, "Invalid input for field/attribute credentials: Expected `str`, got `int` - at `$.path`"),
    ],
)  # fmt: skip
async def test_a_refusal_says_what_is_wrong(
    world: IdentityWorld, owner: Owner, changes: dict[str, Any], status: int, ec2_code: str | None, message: str
) -> None:
    signed = as_json(signed_v4(Shape(), START, **owner.keys))["credentials"] | changes

    reply = await world.ask("POST", "/v3/ec2tokens", {"credentials": signed})

    assert (reply.status, reply.message, reply.body["error"].get("ec2_code")) == (status, message, ec2_code)
    assert owner.pair["secret"] not in str(reply.body)


async def test_a_body_without_a_signed_request_is_refused(world: IdentityWorld) -> None:
    empty = await world.ask("POST", "/v3/ec2tokens", raw=b"")

    assert (empty.status, empty.message) == (400, "request must include a request body")
    assert (await world.ask("POST", "/v3/ec2tokens", {"credentials": [1]})).status == 400
    assert (await world.ask("POST", "/v3/ec2tokens", {"auth": {}})).status == 401
    assert (await world.ask("GET", "/v3/ec2tokens")).status == 405


async def test_an_old_request_is_refused(world: IdentityWorld, owner: Owner) -> None:
    body = as_json(signed_v4(Shape(), START.replace(year=2025), **owner.keys))

    reply = await world.ask("POST", "/v3/ec2tokens", body)

    assert (reply.status, reply.body["error"]["ec2_code"]) == (401, "RequestExpired")


@pytest.mark.parametrize("what", ["user", "project", "role"])
async def test_keys_are_refused_whose_user_or_project_is_disabled_or_has_no_role(
    world: IdentityWorld, owner: Owner, what: str
) -> None:
    if what == "user":
        await world.ask("PATCH", f"/v3/users/{owner.user_id}", {"user": {"enabled": False}})
    elif what == "project":
        await world.ask("PATCH", f"/v3/projects/{owner.project_id}", {"project": {"enabled": False}})
    else:
        role = await world.role("member")
        await world.ask("DELETE", f"/v3/projects/{owner.project_id}/users/{owner.user_id}/roles/{role}")

    reply = await owner.ask_for_token()

    assert (reply.status, reply.message) == (401, "User not valid for project.")
    assert reply.body["error"]["ec2_code"] == "AuthFailure"


async def test_keys_are_refused_while_the_domain_of_their_user_is_disabled(world: IdentityWorld) -> None:
    domain = await world.make("domains", "domain", name="elsewhere")
    user = await world.make("users", "user", name="eve", password="eve", domain_id=domain["id"])
    project = await world.make("projects", "project", name="far", domain_id=domain["id"])
    await world.grant(project["id"], user["id"], "member")
    made = await world.ask("POST", f"/v3/users/{user['id']}/credentials/OS-EC2", {"tenant_id": project["id"]})
    pair = made.body["credential"]
    body = as_json(signed_v4(Shape(), START, access=pair["access"], secret=pair["secret"]))
    found = []

    for enabled in (True, False, True):
        await world.ask("PATCH", f"/v3/domains/{domain['id']}", {"domain": {"enabled": enabled}})
        found.append((await world.ask("POST", "/v3/ec2tokens", body)).status)

    assert found == [200, 401, 200]


@pytest.mark.parametrize("collection", ["users", "projects"])
async def test_keys_go_with_their_user_and_their_project(world: IdentityWorld, owner: Owner, collection: str) -> None:
    key = {"users": owner.user_id, "projects": owner.project_id}[collection]
    assert (await world.ask("DELETE", f"/v3/{collection}/{key}")).status == 204

    reply = await owner.ask_for_token()

    assert (reply.status, reply.message) == (404, UNKNOWN)


async def test_v2_knows_no_keys_of_other_domains(world: IdentityWorld) -> None:
    domain = await world.make("domains", "domain", name="elsewhere")
    user = await world.make("users", "user", name="eve", password="eve", domain_id=domain["id"])
    project = await world.make("projects", "project", name="far", domain_id=domain["id"])
    await world.grant(project["id"], user["id"], "member")
    path = f"/users/{user['id']}/credentials/OS-EC2"
    made = await world.ask("POST", f"/v3{path}", {"tenant_id": project["id"]})
    pair = made.body["credential"]
    body = as_json(signed_v4(Shape(), START, access=pair["access"], secret=pair["secret"]))

    assert (await world.ask("GET", f"/v2.0{path}")).status == 404
    assert (await world.ask("POST", "/v2.0/ec2tokens", body)).status == 401
    assert (await world.ask("POST", "/v3/ec2tokens", body)).status == 200


async def test_a_refusal_costs_a_password_check_whether_the_key_is_known_or_not(
    world: IdentityWorld, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str | None] = []
    passwords = world.service.authority.passwords
    real = passwords.matches

    async def matches(password: str, stored: str | None) -> bool:
        checked.append(stored)
        return await real(password, stored)

    monkeypatch.setattr(passwords, "matches", matches)
    signed = as_json(signed_v4(Shape(), START, **owner.keys))["credentials"]

    await world.ask("POST", "/v3/ec2tokens", {"credentials": signed})
    assert checked == []
    await world.ask("POST", "/v3/ec2tokens", {"credentials": signed | {"signature": "0"}})
    await world.ask("POST", "/v3/ec2tokens", {"credentials": signed | {"access": "0"}})
    assert checked == [None, None]


async def test_no_secret_and_no_signature_gets_into_a_trace(world: IdentityWorld, owner: Owner) -> None:
    await owner.ask_for_token()

    assert owner.pair["secret"] not in repr(world.spans.found)
