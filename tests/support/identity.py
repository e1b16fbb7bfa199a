"""An identity service on free ports, and a client that speaks to it as plainly as a test can say it."""

import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp

from novaflow import config
from novaflow.clock import Clock, SystemClock
from novaflow.db.database import Database
from novaflow.identity.passwords import Passwords
from rpc.tracing import Span, Tracer
from services.identity.service import Served, served

ADMIN_PASSWORD: Final = "the administrator's"
START: Final = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


class Spans:
    """Keeps every span."""

    def __init__(self) -> None:
        self.found: list[Span] = []

    def record(self, span: Span) -> None:
        """Keep it."""
        self.found.append(span)


@dataclass
class Reply:
    """Status, headers and body of one answer."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def message(self) -> str:
        """What an error says."""
        message: str = self.body["error"]["message"]
        return message


@dataclass
class IdentityWorld:
    """One identity service and someone who asks it."""

    service: Served
    http: aiohttp.ClientSession
    settings: config.Config
    spans: Spans
    clock: Clock
    database: Database
    state_dir: Path
    token: str = ""

    @property
    def url(self) -> str:
        """The public port."""
        return f"http://127.0.0.1:{self.service.port}"

    @property
    def admin_url(self) -> str:
        """The admin port."""
        return f"http://127.0.0.1:{self.service.admin_port}"

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Reply:
        """One request, with the administrator's token unless another is given (empty: none)."""
        sent = dict(headers or {})
        token = self.token if token is None else token
        if token:
            sent.setdefault("X-Auth-Token", token)
        url = path if path.startswith("http") else self.url + path
        options: dict[str, Any] = {"json": body} if body is not None else {"data": raw} if raw is not None else {}
        async with self.http.request(method, url, headers=sent, allow_redirects=False, **options) as response:
            text = await response.text()
            is_json = response.content_type == "application/json" and text
            return Reply(response.status, response.headers, await response.json() if is_json else text)

    async def get(self, path: str, **options: Any) -> Any:
        """The body of a GET that succeeds."""
        reply = await self.ask("GET", path, **options)
        assert reply.status == 200, (path, reply.status, reply.body)
        return reply.body

    async def make(self, collection: str, member: str, **attributes: object) -> Any:
        """A new member of a v3 collection."""
        reply = await self.ask("POST", f"/v3/{collection}", {member: attributes})
        assert reply.status == 201, reply.body
        return reply.body[member]

    async def user_in_project(self, name: str = "alice", role: str = "member") -> tuple[str, str]:
        """A new user with a password of its own name, with a role in a new project; their ids."""
        project = await self.make("projects", "project", name=f"{name}-project")
        user = await self.make("users", "user", name=name, password=name)
        await self.grant(project["id"], user["id"], role)
        return user["id"], project["id"]

    async def grant(self, project_id: str, user_id: str, role: str) -> None:
        """Give a user a role in a project."""
        path = f"/v3/projects/{project_id}/users/{user_id}/roles/{await self.role(role)}"
        assert (await self.ask("PUT", path)).status == 204

    async def role(self, name: str) -> str:
        """A role's id."""
        (found,) = (await self.get(f"/v3/roles?name={name}"))["roles"]
        key: str = found["id"]
        return key

    async def log_in(self, name: str, password: str, project: str | None = None) -> Reply:
        """The answer to a login of a user of the default domain, for a project of it by name."""
        return await self.ask("POST", "/v3/auth/tokens", login(name, password, project), token="")

    async def token_of(self, name: str, password: str, project: str | None = None) -> str:
        """A token of a login that succeeds."""
        reply = await self.log_in(name, password, project)
        assert reply.status == 201, reply.body
        return reply.headers["X-Subject-Token"]

    async def is_valid(self, token: str) -> bool:
        """Whether the service says a token is valid."""
        reply = await self.ask("HEAD", "/v3/auth/tokens", headers={"X-Subject-Token": token})
        assert reply.status in (200, 404), reply.status
        return reply.status == 200


def login(name: str, password: str, project: str | None = None, scope: object = None) -> dict[str, Any]:
    """The body of a v3 password login."""
    domain = {"id": "default"}
    user = {"name": name, "domain": domain, "password": password}
    auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": user}}}
    if project:
        auth["scope"] = {"project": {"name": project, "domain": domain}}
    if scope:
        auth["scope"] = scope
    return {"auth": auth}


@asynccontextmanager
async def identity_world(
    database: Database, state_dir: Path, *, clock: Clock | None = None, **settings: Any
) -> AsyncIterator[IdentityWorld]:
    """A service over an open, migrated database; its administrator is logged in."""
    clock = clock or SystemClock()
    identity = config.Identity(port=0, admin_port=0, admin_password=ADMIN_PASSWORD, **settings)
    cloud = config.Config(identity=identity, state_dir=str(state_dir))
    spans = Spans()
    cheap = Passwords(clock, memory_kib=64, passes=1)
    async with (
        aiohttp.ClientSession() as http,
        served(cloud, database, clock, Tracer("identity", spans), state_dir, cheap) as service,
    ):
        world = IdentityWorld(service, http, cloud, spans, clock, database, state_dir)
        world.token = await world.token_of("admin", ADMIN_PASSWORD, "admin")
        yield world


@asynccontextmanager
async def copied_database(template: Path, directory: Path) -> AsyncIterator[Database]:
    """A migrated SQLite database of one test's own."""
    path = directory / "identity.sqlite"
    shutil.copy(template, path)
    database = await Database.open(f"sqlite+aiosqlite:///{path}", config.Database())
    try:
        yield database
    finally:
        await database.close()
