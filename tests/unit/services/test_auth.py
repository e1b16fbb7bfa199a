"""The other end of the identity service: tokens checked over HTTP by a real service, or by one that misbehaves."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from novaflow.errors import ServiceUnavailable, Unauthorized
from novaflow.identity.credentials import SERVICE_PASSWORD, Credentials, read
from rpc.tracing import Tracer
from services.auth import IdentityClient, ServiceToken, TokenVerifier, authenticated
from services.web import CONTEXT, json_response, serving, traced
from tests.support.clocks import ManualClock
from tests.support.identity import START, IdentityWorld, Spans, copied_database, identity_world

REFUSAL = {
    "error": {"code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication."}
}
CREDENTIALS = Credentials(username="nova", password="p", project="service")


@pytest.fixture
async def world(migrated_sqlite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[IdentityWorld]:
    monkeypatch.delenv(SERVICE_PASSWORD, raising=False)
    async with (
        copied_database(migrated_sqlite, tmp_path) as database,
        identity_world(database, tmp_path / "state", clock=ManualClock(START)) as world,
    ):
        yield world


@pytest.fixture
def verifier(world: IdentityWorld) -> TokenVerifier:
    client = IdentityClient(world.http, world.url, Tracer("nova-api", world.spans))
    service = ServiceToken(client, lambda: read(world.state_dir, "service"), world.clock)
    return TokenVerifier(client, service, world.clock, cache_seconds=10.0)


async def test_a_token_says_who_asks(world: IdentityWorld, verifier: TokenVerifier) -> None:
    user_id, project_id = await world.user_in_project()
    issued = await world.log_in("alice", "alice", "alice-project")
    token = issued.headers["X-Subject-Token"]

    context = await verifier.verify(token, "req-1")

    assert context is not None
    assert (context.user_id, context.user_name) == (user_id, "alice")
    assert (context.project_id, context.project_name) == (project_id, "alice-project")
    assert context.roles == ("member", "reader")
    assert (context.request_id, context.token) == ("req-1", token)
    assert context.audit_id == issued.body["token"]["audit_ids"][0]


@pytest.mark.parametrize("token", ["0" * 32, "nonsense", "with space", "ä", "x" * 9000, "\ud800"])
async def test_what_is_no_valid_token_is_refused(verifier: TokenVerifier, token: str) -> None:
    with pytest.raises(Unauthorized):
        await verifier.verify(token, "req-1")


async def test_a_token_for_no_project_says_so(world: IdentityWorld, verifier: TokenVerifier) -> None:
    await world.user_in_project()

    assert await verifier.verify(await world.token_of("alice", "alice"), "req-1") is None


async def test_an_ended_token_is_refused_when_its_time_in_the_cache_is_over(
    world: IdentityWorld, verifier: TokenVerifier
) -> None:
    assert isinstance(world.clock, ManualClock)
    await world.user_in_project()
    token = await world.token_of("alice", "alice", "alice-project")
    assert await verifier.verify(token, "req-1") is not None
    await world.ask("DELETE", "/v3/auth/tokens", headers={"X-Subject-Token": token})

    world.clock.advance(timedelta(seconds=9.9))
    assert await verifier.verify(token, "req-2") is not None
    world.clock.advance(timedelta(seconds=0.1))
    with pytest.raises(Unauthorized):
        await verifier.verify(token, "req-3")


async def test_a_token_is_not_believed_beyond_its_end(world: IdentityWorld) -> None:
    assert isinstance(world.clock, ManualClock)
    client = IdentityClient(world.http, world.url, Tracer("nova-api", world.spans))
    service = ServiceToken(client, lambda: read(world.state_dir, "service"), world.clock)
    verifier = TokenVerifier(client, service, world.clock, cache_seconds=1e6)
    token = await world.token_of("admin", "the administrator's", "admin")
    assert await verifier.verify(token, "req-1") is not None

    world.clock.advance(timedelta(seconds=3600))

    with pytest.raises(Unauthorized):
        await verifier.verify(token, "req-2")


async def test_the_services_own_token_is_replaced_when_it_was_ended(
    world: IdentityWorld, verifier: TokenVerifier
) -> None:
    await world.user_in_project()
    tokens = [await world.token_of("alice", "alice", "alice-project") for _ in range(2)]
    assert await verifier.verify(tokens[0], "req-1") is not None
    nova = (await world.get("/v3/users?name=nova"))["users"][0]["id"]
    credentials = read(world.state_dir, "service")
    await world.ask("PATCH", f"/v3/users/{nova}", {"user": {"password": credentials.password}})

    assert await verifier.verify(tokens[1], "req-2") is not None


async def test_the_trace_goes_on_in_the_identity_service(world: IdentityWorld, verifier: TokenVerifier) -> None:
    token = await world.token_of("admin", "the administrator's", "admin")
    tracer = Tracer("nova-api", world.spans)

    with tracer.span("http.server", "GET /servers") as above:
        await verifier.verify(token, "req-1")

    asked = [span for span in world.spans.found if span.name == "GET identity /v3/auth/tokens"][-1]
    answered = [span for span in world.spans.found if span.parent_id == asked.span_id]
    assert (asked.kind, asked.trace_id, asked.parent_id) == ("http.client", above.trace_id, above.span_id)
    assert asked.attributes["status"] == 200
    assert [span.name for span in answered] == ["GET /v3/auth/tokens"]
    assert token not in str(world.spans.found)


@dataclass
class OddIdentity:
    """An identity service that answers as a test wants, and counts."""

    answer: Callable[[web.Request], web.Response]
    asked: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Log the services in; answer everything else as wanted, once the gate is open."""
        self.asked.append(request.method)
        if request.method == "POST":
            return json_response(about("nova"), 201, {"X-Subject-Token": f"own-{self.asked.count('POST')}"})
        self.was_asked.set()
        await self.gate.wait()
        return self.answer(request)


def about(name: str) -> dict[str, Any]:
    """What identity says of a valid token."""
    named = {"id": name, "name": name}
    return {
        "token": {
            "user": named,
            "project": named,
            "roles": [],
            "audit_ids": ["a"],
            "expires_at": "2026-01-02T04:04:05.000000Z",
        }
    }


@asynccontextmanager
async def odd(
    answer: Callable[[web.Request], web.Response], kept_tokens: int = 100
) -> AsyncIterator[tuple[OddIdentity, TokenVerifier]]:
    """A verifier of an odd identity service."""
    identity = OddIdentity(answer)
    identity.gate.set()
    app = web.Application()
    app.router.add_route("*", "/v3/auth/tokens", identity.handle)
    clock = ManualClock(START)
    async with aiohttp.ClientSession() as http, serving(app, "127.0.0.1", 0) as port:
        client = IdentityClient(http, f"http://127.0.0.1:{port}", Tracer("nova-api", Spans()))
        service = ServiceToken(client, lambda: CREDENTIALS, clock)
        yield identity, TokenVerifier(client, service, clock, 10.0, kept_tokens)


async def test_many_requests_with_one_token_ask_once_and_remember() -> None:
    async with odd(lambda _: json_response(about("alice"))) as (identity, verifier):
        identity.gate.clear()
        asking = [asyncio.create_task(verifier.verify("t", f"req-{n}")) for n in range(20)]
        await identity.was_asked.wait()
        asking[0].cancel()
        identity.gate.set()
        found = await asyncio.gather(*asking[1:])

        assert {context.user_id for context in found if context} == {"alice"}
        assert {context.request_id for context in found if context} == {f"req-{n}" for n in range(1, 20)}
        await verifier.verify("t", "req-20")
        assert identity.asked == ["POST", "GET"]


async def test_a_refusal_is_remembered_for_a_moment() -> None:
    async with odd(lambda _: web.Response(status=404)) as (identity, verifier):
        for _ in range(3):
            with pytest.raises(Unauthorized):
                await verifier.verify("t", "req-1")

        assert identity.asked == ["POST", "GET"]


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: web.Response(status=500),
        lambda _: web.Response(status=403),
        lambda _: web.Response(status=401),
        lambda _: web.Response(body=b"not JSON"),
        lambda _: json_response({"token": {}}),
    ],
)
async def test_an_odd_answer_is_no_verdict_and_is_not_remembered(answer: Callable[[web.Request], web.Response]) -> None:
    async with odd(answer) as (identity, verifier):
        with pytest.raises(ServiceUnavailable):
            await verifier.verify("t", "req-1")

        identity.answer = lambda _: json_response(about("alice"))
        assert await verifier.verify("t", "req-2") is not None


async def test_no_more_tokens_are_remembered_than_there_is_room_for() -> None:
    async with odd(lambda _: json_response(about("alice")), kept_tokens=2) as (identity, verifier):
        for token in ("a", "b", "a", "c", "a", "b"):
            await verifier.verify(token, "req-1")

        assert identity.asked.count("GET") == 4


async def test_without_an_identity_service_nothing_is_known() -> None:
    async with AsyncExitStack() as stack:
        _, verifier = await stack.enter_async_context(odd(lambda _: web.Response(status=500)))
        dead = f"{verifier.url.rpartition(':')[0]}:1"
        http = await stack.enter_async_context(aiohttp.ClientSession())
        client = IdentityClient(http, dead, Tracer("nova-api", Spans()))
        alone = TokenVerifier(
            client, ServiceToken(client, lambda: CREDENTIALS, ManualClock(START)), ManualClock(START), 10.0
        )

        with pytest.raises(ServiceUnavailable):
            await alone.verify("t", "req-1")


@asynccontextmanager
async def guarded(verifier: TokenVerifier) -> AsyncIterator[str]:
    """A service behind the middleware that says who asks."""

    async def show(request: web.Request) -> web.Response:
        context = request.get(CONTEXT)
        return json_response({"user": context.user_name if context else None})

    spans = Tracer("nova-api", Spans())
    middlewares = [traced(spans), authenticated(verifier, public=lambda request: request.path == "/")]
    app = web.Application(middlewares=middlewares)
    app.router.add_get("/", show)
    app.router.add_get("/servers", show)
    async with serving(app, "127.0.0.1", 0) as port:
        yield f"http://127.0.0.1:{port}"


async def test_the_middleware_lets_in_who_has_a_valid_token(world: IdentityWorld, verifier: TokenVerifier) -> None:
    await world.user_in_project()
    token = await world.token_of("alice", "alice", "alice-project")
    unscoped = await world.token_of("alice", "alice")

    async with guarded(verifier) as url:
        known = await world.ask("GET", f"{url}/servers", token=token)
        public = await world.ask("GET", f"{url}/", token="")
        missing = await world.ask("GET", f"{url}/servers", token="")
        wrong = await world.ask("GET", f"{url}/servers", token="0" * 32)
        projectless = await world.ask("GET", f"{url}/servers", token=unscoped)

    assert (known.status, known.body) == (200, {"user": "alice"})
    assert (public.status, public.body) == (200, {"user": None})
    for reply in (missing, wrong):
        assert (reply.status, reply.body) == (401, REFUSAL)
        assert reply.headers["WWW-Authenticate"] == f'Keystone uri="{world.url}"'
        assert reply.headers["X-Openstack-Request-Id"].startswith("req-")
    assert projectless.status == 403


async def test_the_middleware_says_when_identity_is_away(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        odd(lambda _: web.Response(status=500)) as (_, verifier),
        guarded(verifier) as url,
        aiohttp.ClientSession() as http,
        http.get(f"{url}/servers", headers={"X-Auth-Token": "t"}) as reply,
    ):
        assert reply.status == 503
        assert (await reply.json())["error"]["message"] == "The Keystone service is temporarily unavailable."
    assert "identity is not available" in caplog.text
