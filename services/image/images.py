"""The images themselves: list, create, show, change, delete."""

import asyncio
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from novaflow.errors import Invalid
from novaflow.images import access, patch, query, rules
from services.image.faults import Fault
from services.image.frame import ImageApi, context, json_body, refuse_body, seen_image
from services.image.views import image_view
from services.web import json_response

_TO_DELETE = "Failed to find image {} to delete"


def routes(api: ImageApi) -> list[web.RouteDef]:
    """The urls of this resource."""
    resource = ImageResource(api)
    return [
        web.get("/images", resource.index),
        web.post("/images", resource.create),
        web.get("/images/{image_id}", resource.show, allow_head=False),
        web.patch("/images/{image_id}", resource.update),
        web.delete("/images/{image_id}", resource.delete),
    ]


class ImageResource:
    """Handlers of /v2/images and /v2/images/{id}."""

    def __init__(self, api: ImageApi) -> None:
        self._api = api

    async def index(self, request: web.Request) -> web.Response:
        """One page of the images the caller may see."""
        asking = context(request)
        wanted = query.parse(request.query.items(), project_id=asking.project_id, is_admin=access.sees_all(asking))
        found = await self._api.images.list(wanted)
        parameters = [(name, value) for name, value in request.query.items() if name != "marker"]
        body: dict[str, Any] = {
            "images": [image_view(image) for image in found],
            "first": _page(parameters),
            "schema": "/v2/schemas/images",
        }
        if found and len(found) == wanted.limit:
            body["next"] = _page([*parameters, ("marker", found[-1].id)])
        return json_response(body)

    async def create(self, request: web.Request) -> web.Response:
        """Record a new image, without data yet."""
        document = await json_body(request)
        if not isinstance(document, dict):
            raise Invalid(reason="Provided object does not match schema 'image': the body must be a JSON object")
        image = rules.new_image(document, context(request), self._api.new_id(), self._api.clock.now())
        await self._api.images.create(image)
        location = f"{request.scheme}://{request.host}/v2/images/{image.id}"
        return json_response(image_view(image), HTTPStatus.CREATED, {"Location": location})

    async def show(self, request: web.Request) -> web.Response:
        """One image."""
        refuse_body(request)
        return json_response(image_view(await seen_image(self._api, request)))

    async def update(self, request: web.Request) -> web.Response:
        """Apply a JSON patch."""
        draft = patch.MEDIA_TYPES.get(request.content_type)
        if draft is None:
            allowed = ", ".join(sorted(patch.MEDIA_TYPES))
            raise Fault(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                f"Image PATCH expects Content-Type one of: {allowed}",
                {"Accept-Patch": allowed},
            )
        changes = patch.parse(await json_body(request), draft)
        image = await seen_image(self._api, request)
        if changes:
            asking = context(request)
            image = await self._api.images.change(image.id, lambda now: patch.apply(now, changes, asking))
        return json_response(image_view(image))

    async def delete(self, request: web.Request) -> web.Response:
        """Delete an image and its data; servers that were booted from it keep what they have."""
        refuse_body(request)
        image = await seen_image(self._api, request, missing=_TO_DELETE)
        access.require_owner(context(request), image, "delete_image")
        await self._api.images.delete(image.id)
        await asyncio.to_thread(self._api.store.delete, image.id)
        return web.Response(status=HTTPStatus.NO_CONTENT)


def _page(parameters: list[tuple[str, str]]) -> str:
    return f"/v2/images?{urlencode(parameters)}" if parameters else "/v2/images"
