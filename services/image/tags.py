"""Tags of an image, one by one."""

from http import HTTPStatus

from aiohttp import web
from msgspec.structs import replace

from novaflow.images import access, rules, schema
from novaflow.images.image import Image
from services.image.faults import Fault
from services.image.frame import ImageApi, context, refuse_body, seen_image


def routes(api: ImageApi) -> list[web.RouteDef]:
    """The urls of this resource."""
    resource = TagResource(api)
    return [
        web.put("/images/{image_id}/tags/{tag}", resource.add),
        web.delete("/images/{image_id}/tags/{tag}", resource.remove),
    ]


class TagResource:
    """Handlers of /v2/images/{id}/tags/{tag}."""

    def __init__(self, api: ImageApi) -> None:
        self._api = api

    async def add(self, request: web.Request) -> web.Response:
        """Put a tag on the image; fine when it is there."""
        tag, asking = request.match_info["tag"], context(request)
        schema.validate({"tags": [tag]})
        image = await seen_image(self._api, request)

        def tagged(now: Image) -> Image:
            access.require_owner(asking, now, "modify_image")
            after = replace(now, tags=rules.unique((*now.tags, tag)))
            rules.require_limits(after)
            return after

        await self._api.images.change(image.id, tagged)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def remove(self, request: web.Request) -> web.Response:
        """Take a tag off the image."""
        refuse_body(request)
        tag, asking = request.match_info["tag"], context(request)
        image = await seen_image(self._api, request)

        def untagged(now: Image) -> Image:
            access.require_owner(asking, now, "modify_image")
            if tag not in now.tags:
                raise Fault(HTTPStatus.NOT_FOUND)
            return replace(now, tags=tuple(each for each in now.tags if each != tag))

        await self._api.images.change(image.id, untagged)
        return web.Response(status=HTTPStatus.NO_CONTENT)
