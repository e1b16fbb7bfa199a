"""An image service with a few images, as strict as the real one about who may see what."""

import builtins
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
    asked: builtins.list[str] = field(default_factory=list)
    made: builtins.list[str] = field(default_factory=list)
    shared: dict[str, builtins.list[str]] = field(default_factory=dict)
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
            "created_at": "2014-04-17T12:00:00Z",
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

    async def list(self, request: web.Request) -> web.Response:
        """`GET /v2/images`: those that the asker may see, all in one page."""
        project = self._project(request)
        found = [image for image in self.images.values() if self._sees(project, image)]
        return web.Response(body=msgspec.json.encode({"images": found}), content_type="application/json")

    async def update(self, request: web.Request) -> web.Response:
        """`PATCH /v2/images/{id}`, by its owner; nobody here may make an image public."""
        image = self._owned(request)
        changes = {step["path"].lstrip("/"): step["value"] for step in msgspec.json.decode(await request.read())}
        if changes.get("visibility") == "public":
            raise web.HTTPForbidden
        image.update(changes)
        return web.Response(body=msgspec.json.encode(image), content_type="application/json")

    async def members(self, request: web.Request) -> web.Response:
        """`GET /v2/images/{id}/members`."""
        image = self._owned(request)
        if image["visibility"] != "shared":
            raise web.HTTPForbidden
        found = [{"member_id": project} for project in self.shared.get(image["id"], ())]
        return web.Response(body=msgspec.json.encode({"members": found}), content_type="application/json")

    async def share(self, request: web.Request) -> web.Response:
        """`POST /v2/images/{id}/members`."""
        image = self._owned(request)
        if image["visibility"] != "shared":
            raise web.HTTPForbidden
        member = msgspec.json.decode(await request.read())["member"]
        if member in self.shared.setdefault(image["id"], []):
            raise web.HTTPConflict
        self.shared[image["id"]].append(member)
        return web.Response(body=msgspec.json.encode({"member_id": member}), content_type="application/json")

    async def unshare(self, request: web.Request) -> web.Response:
        """`DELETE /v2/images/{id}/members/{member}`."""
        image = self._owned(request)
        if request.match_info["member"] not in self.shared.get(image["id"], ()):
            raise web.HTTPNotFound
        self.shared[image["id"]].remove(request.match_info["member"])
        return web.Response(status=204)

    async def delete(self, request: web.Request) -> web.Response:
        """`DELETE /v2/images/{id}`, by its owner."""
        del self.images[self._owned(request)["id"]]
        return web.Response(status=204)

    def _sees(self, project: str, image: Mapping[str, Any]) -> bool:
        is_shared = image["visibility"] == "shared" and project in self.shared.get(image["id"], ())
        return image["visibility"] == "public" or image["owner"] == project or is_shared

    def _owned(self, request: web.Request) -> dict[str, Any]:
        project = self._project(request)
        image = self.images.get(request.match_info["id"])
        if image is None or image["owner"] != project:
            raise web.HTTPNotFound
        return image

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
            web.get("/v2/images", service.list),
            web.post("/v2/images", service.create),
            web.patch("/v2/images/{id}", service.update),
            web.get("/v2/images/{id}/members", service.members),
            web.post("/v2/images/{id}/members", service.share),
            web.delete("/v2/images/{id}/members/{member}", service.unshare),
            web.get("/v2/images/{id}", service.show),
            web.delete("/v2/images/{id}", service.delete),
        ]
    )
    async with serving(app, "127.0.0.1", 0) as port:
        service.url = f"http://127.0.0.1:{port}"
        yield service
