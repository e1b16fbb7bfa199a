"""The EC2 API in front of the real identity service, which it asks each time who has signed a request."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web

from novaflow.identity.credentials import SERVICE_PASSWORD, read
from rpc.tracing import Discard, Tracer
from services.api.ec2.auth import SignatureVerifier, signed_by_key
from services.api.ec2.errors import faults
from services.api.ec2.requests import read_params
from services.auth import IdentityClient, ServiceToken
from services.web import CONTEXT, serving, traced
from tests.support.clocks import ManualClock
from tests.support.ec2 import WAYS, Shape, signed_on_the_wire
from tests.support.identity import START, IdentityWorld, copied_database, identity_world
from tests.support.quick_clock import QuickClock
from tests.support.wire import exchange, on_the_wire

TRACER: Final = Tracer("nova-api", Discard())


@dataclass
class Door:
    """The door, a key that opens it, and whose key it is; `waited` is by how much refusals came later."""

    port: int
    client: IdentityClient
    world: IdentityWorld
    user_id: str
    project_id: str
    pair: dict[str, Any]
    waited: list[float]

    @property
    def path(self) -> str:
        """Where the identity service has the key."""
        return f"/v3/users/{self.user_id}/credentials/OS-EC2/{self.pair['access']}"

    async def ask(self, way: str = "version 4", **keys: str) -> tuple[int, str]:
        """Status of the answer to a question that is signed with the key or with `keys`, and whose it was or why it is refused."""
        given = {"access": self.pair["access"], "secret": self.pair["secret"], **keys}
        status, body = await exchange(self.port, on_the_wire(*signed_on_the_wire(Shape("GET"), way, START, **given)))
        text = body.decode()
        return status, text.partition("<Code>")[2].partition("<")[0] or text


async def whose(request: web.Request) -> web.Response:
    """Say who asks."""
    context = request[CONTEXT]
    return web.Response(text=f"{context.user_name} for {context.project_name}")


@pytest.fixture
async def door(migrated_sqlite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Door]:
    monkeypatch.delenv(SERVICE_PASSWORD, raising=False)
    async with (
        copied_database(migrated_sqlite, tmp_path) as database,
        identity_world(database, tmp_path / "state", clock=ManualClock(START)) as world,
    ):
        user_id, project_id = await world.user_in_project()
        made = await world.ask("POST", f"/v3/users/{user_id}/credentials/OS-EC2", {"tenant_id": project_id})
        client, clock = IdentityClient(world.http, world.url, TRACER), QuickClock()
        service = ServiceToken(client, lambda: read(world.state_dir, "service"), world.clock)
        checked = signed_by_key(SignatureVerifier(client, service), clock)
        app = web.Application(middlewares=[traced(TRACER), faults, read_params, checked])
        app.router.add_route("*", "/{any:.*}", whose)
        async with serving(app, "127.0.0.1", 0) as port:
            yield Door(port, client, world, user_id, project_id, made.body["credential"], clock.slept)


@pytest.mark.parametrize("way", WAYS)
async def test_the_owner_of_a_key_is_the_one_who_asks(door: Door, way: str) -> None:
    assert await door.ask(way) == (200, "alice for alice-project")
    assert door.waited == []


async def test_a_refusal_says_as_little_as_amazons_and_comes_later_each_time(door: Door) -> None:
    wrong = [await door.ask(secret="guessed") for _ in range(3)]
    unknown = await door.ask(access="0" * 32)
    right = await door.ask()
    wrong_again = await door.ask(secret="guessed")

    assert [*wrong, wrong_again] == [(403, "SignatureDoesNotMatch")] * 4
    assert (unknown, right[0]) == ((401, "AuthFailure"), 200)
    assert door.waited == [0.1, 0.2, 0.4, 0.1, 0.1]


async def test_a_key_that_is_deleted_opens_nothing_from_then_on(door: Door) -> None:
    assert (await door.ask())[0] == 200

    assert (await door.world.ask("DELETE", door.path)).status == 204

    assert await door.ask() == (401, "AuthFailure")


@pytest.mark.parametrize("collection", ["users", "projects"])
async def test_a_key_of_a_disabled_user_or_project_opens_nothing_until_it_is_enabled(
    door: Door, collection: str
) -> None:
    member = collection.removesuffix("s")
    path = f"/v3/{collection}/{door.user_id if member == 'user' else door.project_id}"
    assert (await door.ask())[0] == 200

    await door.world.ask("PATCH", path, {member: {"enabled": False}})
    disabled = await door.ask()
    await door.world.ask("PATCH", path, {member: {"enabled": True}})

    assert disabled == (401, "AuthFailure")
    assert (await door.ask())[0] == 200


@pytest.mark.parametrize("collection", ["users", "projects"])
async def test_a_key_goes_with_its_user_and_its_project(door: Door, collection: str) -> None:
    assert (await door.ask())[0] == 200

    key = door.user_id if collection == "users" else door.project_id
    assert (await door.world.ask("DELETE", f"/v3/{collection}/{key}")).status == 204

    assert await door.ask() == (401, "AuthFailure")


async def test_a_key_whose_user_has_lost_the_role_opens_nothing(door: Door) -> None:
    assert (await door.ask())[0] == 200

    role = await door.world.role("member")
    await door.world.ask("DELETE", f"/v3/projects/{door.project_id}/users/{door.user_id}/roles/{role}")

    assert await door.ask() == (401, "AuthFailure")


async def test_an_old_request_and_one_of_the_future_are_expired(door: Door) -> None:
    assert isinstance(door.world.clock, ManualClock)
    found = []

    for by in (-301, 602):
        door.world.clock.advance(timedelta(seconds=by))
        found.append(await door.ask())

    assert found == [(400, "RequestExpired")] * 2


async def test_bytes_that_are_no_text_are_refused_before_anybody_is_asked(door: Door) -> None:
    verb, target, headers, body = signed_on_the_wire(Shape("GET"), "version 4", START)
    request = on_the_wire(verb, target, headers, body).replace(b"Signature=", b"Signature=\xff")

    status, answer = await exchange(door.port, request)

    assert (status, b"IncompleteSignature" in answer) == (400, True)


async def test_while_the_identity_service_does_not_answer_nobody_is_refused_for_his_signature(door: Door) -> None:
    door.client.url = "http://127.0.0.1:1"

    status, code = await door.ask()

    assert (status, code) == (503, "Unavailable")
    assert door.waited == []
