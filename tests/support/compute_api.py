"""The Compute API over a real socket and a real SQLite file, with tokens that are known beforehand."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any, Final

import aiohttp
import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware

from novaflow.clock import Clock, SystemClock
from novaflow.config import Config
from novaflow.db.database import Database
from novaflow.db.migrate import upgrade
from novaflow.errors import Codec, Forbidden, NotFound
from novaflow.models import Context, ImageFacts, NewImage
from rpc.bus import Bus, BusSettings
from rpc.connect import open_transport
from rpc.tracing import Discard, SpanSink, Tracer
from rpc.transport import Transport
from services.api.openstack.app import create_app, is_public
from services.api.openstack.frame import Api
from services.api.service import Images, assemble
from services.web import CONTEXT, REQUEST_ID, Handler, serving, traced

PROJECT: Final = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
OTHER_PROJECT: Final = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
_SETTINGS: Final = BusSettings()


def _who(name: str, project_id: str, *roles: str) -> Context:
    return Context(
        request_id="",
        user_id=f"{name}-id",
        user_name=name,
        project_id=project_id,
        project_name=project_id[:4],
        roles=roles,
        token=name,
    )


PEOPLE: Final = {
    "admin": _who("admin", "00000000000000000000000000000000", "admin", "member"),
    "alice": _who("alice", PROJECT, "member"),
    "bob": _who("bob", OTHER_PROJECT, "member"),
}
"""Who each token belongs to; any other token is refused."""


def known_tokens() -> Middleware:
    """Authentication that knows the tokens of PEOPLE and no others."""

    @web.middleware
    async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_public(request):
            who = PEOPLE.get(request.headers.get("X-Auth-Token", ""))
            if who is None:
                raise web.HTTPUnauthorized(headers={"WWW-Authenticate": 'Keystone uri="http://identity.example"'})
            request[CONTEXT] = msgspec.structs.replace(who, request_id=request[REQUEST_ID])
        return await handler(request)

    return authenticate


class NoImages:
    """An image service that has no images."""

    async def show(self, image_id: str, token: str) -> ImageFacts:
        raise NotFound(kind="Image", key=image_id)

    async def create(self, image: NewImage, token: str) -> str:
        raise Forbidden(rule="add_image")

    async def delete(self, image_id: str, token: str) -> None:
        raise NotFound(kind="Image", key=image_id)

    async def list(self, filters: Mapping[str, str], token: str) -> Sequence[ImageFacts]:
        return []

    async def update(self, image_id: str, changes: Mapping[str, object], token: str) -> None:
        raise NotFound(kind="Image", key=image_id)

    async def members(self, image_id: str, token: str) -> Sequence[str]:
        raise NotFound(kind="Image", key=image_id)

    async def share(self, image_id: str, project_id: str, token: str) -> None:
        raise NotFound(kind="Image", key=image_id)

    async def unshare(self, image_id: str, project_id: str, token: str) -> None:
        raise NotFound(kind="Image", key=image_id)


@dataclass(frozen=True)
class Reply:
    """What a request was answered with; `body` is None when it was empty."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def message(self) -> str:
        """What an error says to people."""
        (kind,) = self.body
        assert self.body[kind]["code"] == self.status
        said: str = self.body[kind]["message"]
        return said


@dataclass(frozen=True)
class ComputeApi:
    """A running API and a client of it."""

    root: str
    http: aiohttp.ClientSession
    database: Database
    clock: Clock
    transport: Transport
    resources: Api  # what other doors of the same cloud call

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        who: str = "admin",
        version: str | None = None,
        below: str = "/v2.1",
    ) -> Reply:
        """One request; `path` stands below the API's version, `version` is the microversion."""
        headers = {"X-Auth-Token": who}
        if version is not None:
            headers["OpenStack-API-Version"] = f"compute {version}"
        data = None
        if body is not None:
            data = msgspec.json.encode(body)
            headers["Content-Type"] = "application/json"
        async with self.http.request(method, f"{self.root}{below}{path}", data=data, headers=headers) as response:
            raw = await response.read()
            is_json = response.content_type == "application/json"
            return Reply(
                response.status, response.headers, msgspec.json.decode(raw) if raw and is_json else raw or None
            )

    async def get(self, path: str, *, who: str = "admin", version: str | None = None, below: str = "/v2.1") -> Any:
        """The body of what is there; fails unless the answer is 200."""
        reply = await self.ask("GET", path, who=who, version=version, below=below)
        assert reply.status == HTTPStatus.OK, reply.body
        return reply.body


@asynccontextmanager
async def compute_api(
    directory: Path,
    config: Config | None = None,
    clock: Clock | None = None,
    images: Images | None = None,
    sink: SpanSink | None = None,
) -> AsyncIterator[ComputeApi]:
    """The API on a fresh database in `directory`, for as long as the block runs."""
    config, clock = config or Config(), clock or SystemClock()
    database = await Database.open(await _migrated(directory), config.database)
    transport = await open_transport("memory://", _SETTINGS)
    tracer = Tracer("nova-api", sink or Discard())
    bus = Bus(transport, tracer=tracer, errors=Codec(), settings=_SETTINGS)
    try:
        api = assemble(
            config=config, clock=clock, tracer=tracer, database=database, bus=bus, images=images or NoImages()
        )
        app = create_app(api, trace=traced(tracer), authenticate=known_tokens())
        async with serving(app, "127.0.0.1", 0) as port, aiohttp.ClientSession() as http:
            yield ComputeApi(f"http://127.0.0.1:{port}", http, database, clock, transport, api)
    finally:
        await bus.close()
        await transport.close()
        await database.close()


async def _migrated(directory: Path) -> str:
    """The URL of a fresh database. The migrations run once per test session; every test has a copy."""
    template = Path(_templates().name) / "novaflow.sqlite"
    if not template.exists():
        await upgrade(f"sqlite+aiosqlite:///{template}")
    copyfile(template, directory / template.name)
    return f"sqlite+aiosqlite:///{directory / template.name}"


@cache
def _templates() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="novaflow-")
