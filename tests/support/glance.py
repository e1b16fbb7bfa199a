"""An image service with a few images, as strict as the real one about who may see what."""

import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from services.web import serving


@dataclass
class Glance:
    """The images by id, as Glance shows them, and whose token is whose project's."""

    projects: Mapping[str, str]
    images: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    is_full: bool = False
    is_away: bool = False
    url: str = ""

    def add(self, image_id: str, **facts: object) -> None:
        """One more image; an active public one unless `facts` say otherwise."""
        self.images[image_id] = {
            "id": image_id,
            "name": "tiny",
            "disk_format": "qcow2",
            "container_format": "bare",
            "size": 1024,
            "min_disk": 0,
            "min_ram": 0,
            "checksum": "0" * 32,
            "os_hash_algo": "sha512",
            "os_hash_value": "0" * 128,
            "status": "active",
            "visibility": "public",
            "owner": "",
            **facts,
        }

    async def show(self, request: web.Request) -> web.Response:
        """`GET /v2/images/{id}`."""
        self.asked.append(request.match_info["id"])
        project = self._project(request)
        image = self.images.get(request.match_info["id"])
        if image is None or (image["visibility"] == "private" and image["owner"] != project):
            raise web.HTTPNotFound
        return web.Response(body=msgspec.json.encode(image), content_type="application/json")

    async def create(self, request: web.Request) -> web.Response:
        """`POST /v2/images`."""
        project = self._project(request)
        if self.is_full:
            raise web.HTTPRequestEntityTooLarge(max_size=0, actual_size=1)
        given = msgspec.json.decode(await request.read())
        image_id = str(uuid.uuid4())
        self.add(
            image_id,
            **{"status": "queued", "size": None, "checksum": None, "os_hash_value": None, "owner": project} | given,
        )
        self.made.append(image_id)
        return web.Response(
            status=201, body=msgspec.json.encode(self.images[image_id]), content_type="application/json"
        )

    async def delete(self, request: web.Request) -> web.Response:
        """`DELETE /v2/images/{id}`, by its owner."""
        project = self._project(request)
        image = self.images.get(request.match_info["id"])
        if image is None or image["owner"] != project:
            raise web.HTTPNotFound
        del self.images[request.match_info["id"]]
        return web.Response(status=204)

    def _project(self, request: web.Request) -> str:
        if self.is_away:
            raise web.HTTPServiceUnavailable
        project = self.projects.get(request.headers.get("X-Auth-Token", ""))
        if project is None:
            raise web.HTTPUnauthorized
        return project


@asynccontextmanager
async def glance(projects: Mapping[str, str]) -> AsyncIterator[Glance]:
    """An image service on a free port; `projects` says which project a token belongs to."""
    service = Glance(projects)
    app = web.Application()
    app.add_routes(
        [
            web.post("/v2/images", service.create),
            web.get("/v2/images/{id}", service.show),
            web.delete("/v2/images/{id}", service.delete),
        ]
    )
    async with serving(app, "127.0.0.1", 0) as port:
        service.url = f"http://127.0.0.1:{port}"
        yield service
