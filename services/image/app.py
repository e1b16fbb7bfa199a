"""The image API as one web application: every resource below /v2, and the versions above it."""

from collections.abc import Sequence
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware

from services.image import actions, data, discovery, images, members, tags
from services.image.faults import faults
from services.image.frame import ImageApi

_BODY_MAX: Final = 2**20  # bytes of a JSON document; image data is never read as a whole
_RESOURCES: Final = (images, data, tags, members, actions)


def create_app(api: ImageApi, *, trace: Middleware, authenticate: Middleware) -> web.Application:
    """The application; `trace` sees every request first, `authenticate` sets request[CONTEXT]."""
    app = web.Application(middlewares=[trace, faults, authenticate], client_max_size=_BODY_MAX)
    below = [route for resource in _RESOURCES for route in resource.routes(api)]
    app.add_routes(_below_v2([*below, *discovery.routes()]))
    app.add_routes(discovery.public_routes())
    return app


def _below_v2(routes: Sequence[web.RouteDef]) -> list[web.RouteDef]:
    return [web.route(route.method, f"/v2{route.path}", route.handler, **route.kwargs) for route in routes]
