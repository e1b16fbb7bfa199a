"""Deactivate and reactivate: withhold an image's data, and give it back."""

from http import HTTPStatus

from aiohttp import web
from msgspec.structs import replace

from novaflow.images import access
from novaflow.images.errors import NotPermitted
from novaflow.images.image import Image, Status
from services.image.frame import ImageApi, context, refuse_body, seen_image
from services.web import Handler


def routes(api: ImageApi) -> list[web.RouteDef]:
    """The urls of this resource."""
    return [
        web.post("/images/{image_id}/actions/deactivate", _moves_to(api, "deactivate", Status.DEACTIVATED)),
        web.post("/images/{image_id}/actions/reactivate", _moves_to(api, "reactivate", Status.ACTIVE)),
    ]


def _moves_to(api: ImageApi, action: str, target: Status) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        refuse_body(request)
        asking = context(request)
        image = await seen_image(api, request)

        def moved(now: Image) -> Image:
            access.require_owner(asking, now, action)
            if now.status not in (Status.ACTIVE, Status.DEACTIVATED):
                raise NotPermitted(rule=action, reason=f"Not allowed to {action} image in status '{now.status}'")
            return replace(now, status=target)

        await api.images.change(image.id, moved)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    return handler
