"""An image service on a free port, with its records in SQLite and a verifier as strict as the real one."""

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Middleware

from novaflow.clock import SystemClock
from novaflow.config import Database as Settings
from novaflow.db.database import Database
from novaflow.db.images import Images
from novaflow.db.images_members import ImageMembers
from novaflow.db.images_uploads import ImageUploads
from novaflow.images.store import FileStore
from novaflow.images.upload import Uploads
from novaflow.models import Context
from rpc.tracing import Span, Tracer
from services.image.app import create_app
from services.image.discovery import is_public
from services.image.frame import ImageApi
from services.web import CONTEXT, REQUEST_ID, Handler, serving, traced

ADMIN = "admin-token"
ALICE = "alice-token"
ALICE_READER = "alice-reader-token"
BOB = "bob-token"
NOVA = "nova-token"
_WHO = {
    ADMIN: ("admin-project", ("admin",)),
    ALICE: ("alice-project", ("member", "reader")),
    ALICE_READER: ("alice-project", ("reader",)),
    BOB: ("bob-project", ("member", "reader")),
    NOVA: ("service-project", ("service",)),
}


_REFUSAL = "The request you have made requires authentication."


class Spans:
    """Keeps every span."""

    def __init__(self) -> None:
        self.found: list[Span] = []

    def record(self, span: Span) -> None:
        """Keep it."""
        self.found.append(span)


def known_tokens(public: Callable[[web.Request], bool]) -> Middleware:
    """The middleware of services.auth, for the tokens of this file: 401 without a valid one, a Context with it."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if public(request):
            return await handler(request)
        token = request.headers.get("X-Auth-Token", "")
        if token not in _WHO:
            return web.json_response(
                {
                    "error": {
                        "code": 401,
                        "title": "Unauthorized",
                        "message": "The request you have made requires authentication.",
                    }
                },
                status=HTTPStatus.UNAUTHORIZED,
                headers={"WWW-Authenticate": 'Keystone uri="http://127.0.0.1:5000"'},
            )
        project, roles = _WHO[token]
        request[CONTEXT] = Context(
            request_id=request[REQUEST_ID],
            user_id=f"{token}-user",
            project_id=project,
            roles=roles,
            token=token,
            audit_id=f"{token}-audit",
        )
        return await handler(request)

    return middleware


@dataclass
class ImageService:
    """A running service and the ways into it."""

    url: str
    api: ImageApi
    directory: Path
    http: aiohttp.ClientSession
    spans: Spans

    async def ask(
        self, method: str, path: str, token: str = ALICE, *, headers: dict[str, str] | None = None, **rest: Any
    ) -> tuple[int, Any]:
        """Status and decoded body (bytes when it is not JSON) of one request."""
        sent = {"Accept": "application/json", "X-Auth-Token": token, **(headers or {})}
        async with self.http.request(method, f"{self.url}{path}", headers=sent, **rest) as response:
            if response.content_type == "application/json":
                return response.status, await response.json()
            return response.status, await response.read()

    async def create(self, token: str = ALICE, **document: Any) -> str:
        """Create an image, raw and bare unless told otherwise; its id."""
        wanted = {"disk_format": "raw", "container_format": "bare", **document}
        status, image = await self.ask("POST", "/v2/images", token, json=wanted)
        assert status == HTTPStatus.CREATED, image
        return str(image["id"])

    async def upload(self, image_id: str, data: Any, token: str = ALICE, **headers: str) -> tuple[int, Any]:
        """Upload data; status and body of the answer."""
        sent = {"Content-Type": "application/octet-stream", **headers}
        return await self.ask("PUT", f"/v2/images/{image_id}/file", token, headers=sent, data=data)

    async def show(self, image_id: str, token: str = ALICE) -> dict[str, Any]:
        """The image as the API shows it."""
        status, image = await self.ask("GET", f"/v2/images/{image_id}", token)
        assert status == HTTPStatus.OK, image
        shown: dict[str, Any] = image
        return shown

    def files(self) -> list[str]:
        """Every file the store holds, finished or not."""
        return sorted(str(path.relative_to(self.directory)) for path in self.directory.rglob("*") if path.is_file())


def build_api(db: Database, directory: Path, max_bytes: int) -> ImageApi:
    """The parts of the service over one database and one directory."""
    clock = SystemClock()
    store = FileStore(directory, max_bytes)

    def new_id() -> str:
        return str(uuid.uuid4())

    return ImageApi(
        images=Images(db, clock),
        members=ImageMembers(db, clock),
        uploads=Uploads(ImageUploads(db, clock), store, new_id),
        store=store,
        clock=clock,
        new_id=new_id,
        max_bytes=max_bytes,
    )


@asynccontextmanager
async def image_service(
    database: Path, directory: Path, *, max_bytes: int = 2**30, port: int = 0
) -> AsyncIterator[ImageService]:
    """A service that serves while the block runs, its records in the migrated SQLite file `database`."""
    db = await Database.open(f"sqlite+aiosqlite:///{database}", Settings())
    api = build_api(db, directory, max_bytes)
    sink = Spans()
    app = create_app(api, trace=traced(Tracer("image", sink)), authenticate=known_tokens(is_public))
    try:
        async with serving(app, "127.0.0.1", port) as bound, aiohttp.ClientSession() as http:
            yield ImageService(f"http://127.0.0.1:{bound}", api, directory, http, sink)
    finally:
        await db.close()
