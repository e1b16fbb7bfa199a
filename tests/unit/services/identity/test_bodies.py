"""Bodies and addresses that are not what they should be."""

import pytest

from tests.support.identity import IdentityWorld

JSON = {"Content-Type": "application/json"}
MALFORMED = (
    "Expecting to find valid JSON in request body. The server could not comply with the request since it is either "
    "malformed or otherwise incorrect. The client is assumed to be in error."
)


NO_OBJECTS = (
    b"{",
    b"[]",
    b"5",
    b'"x"',
    b"null",
    b"\xff\xfe",
    b"{} {}",
    b"[" * 50000,
    b'{"a": 1e999}',
    b'{"a": "\\ud800"}',
)


@pytest.mark.parametrize("path", ["/v3/projects", "/v3/auth/tokens", "/v2.0/tokens"])
async def test_what_is_no_json_object_is_refused(world: IdentityWorld, path: str) -> None:
    for raw in NO_OBJECTS:
        reply = await world.ask("POST", path, raw=raw, headers=JSON)
        assert (raw[:20], reply.status, reply.message) == (raw[:20], 400, MALFORMED)


async def test_a_body_must_say_it_is_json_or_nothing(world: IdentityWorld) -> None:
    raw = b'{"project": {"name": "p"}}'

    refused = await world.ask("POST", "/v3/projects", raw=raw, headers={"Content-Type": "text/xml"})
    taken = await world.ask(
        "POST", "/v3/projects", raw=raw, headers={"Content-Type": "application/json; charset=utf-8"}
    )

    assert refused.status == 400
    assert refused.message.startswith("Expecting to find application/json in Content-Type header.")
    assert taken.status == 201


@pytest.mark.parametrize(
    ("body", "message"), [({}, "'project' is a required property"), ({"project": []}, "[] is not of type")]
)
async def test_the_member_must_be_there_and_an_object(world: IdentityWorld, body: object, message: str) -> None:
    reply = await world.ask("POST", "/v3/projects", body)

    assert reply.status == 400
    assert message in reply.message


async def test_a_body_may_have_112_kib(world: IdentityWorld) -> None:
    def body(size: int) -> bytes:
        frame = b'{"project": {"name": "p", "description": ""}}'
        return frame.replace(b'""', b'"' + b"x" * (size - len(frame)) + b'"')

    too_large = await world.ask("POST", "/v3/projects", raw=body(114689), headers=JSON)
    just_right = await world.ask("POST", "/v3/projects", raw=body(114688), headers=JSON)

    assert (too_large.status, too_large.message) == (413, "Request is too large.")
    assert just_right.status == 201


async def test_an_unknown_address_and_a_wrong_method_are_told_apart(world: IdentityWorld) -> None:
    unknown = await world.ask("GET", "/v3/nonsense")
    wrong = await world.ask("PUT", "/v3/users")

    assert (unknown.status, wrong.status) == (404, 405)
    assert unknown.message.startswith("The requested URL was not found on the server.")
    assert wrong.message == "The method is not allowed for the requested URL."
    assert "POST" in wrong.headers["Allow"]


async def test_every_answer_names_its_request(world: IdentityWorld) -> None:
    for path, token in (("/v3/users", None), ("/v3/users", ""), ("/v3/nonsense", None)):
        reply = await world.ask("GET", path, token=token)
        assert reply.headers["X-Openstack-Request-Id"].startswith("req-")


async def test_a_text_may_hold_anything(world: IdentityWorld) -> None:
    name = "ä€😀'\";--\\"

    made = await world.make("projects", "project", name=name, note={"deep": [1, None, "x"]})

    assert (await world.get(f"/v3/projects/{made['id']}"))["project"] == made
    assert made["name"] == name


async def test_the_password_may_be_4096_characters_long(world: IdentityWorld) -> None:
    await world.make("users", "user", name="long", password="x" * 4096)

    refused = await world.ask("POST", "/v3/users", {"user": {"name": "longer", "password": "x" * 4097}})

    assert (await world.log_in("long", "x" * 4096)).status == 201
    assert refused.status == 403
    assert refused.message.startswith("The password length must be less than or equal to 4096.")
