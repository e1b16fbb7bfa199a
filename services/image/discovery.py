"""What tells a client about this service: versions, schemas, and which ways of import and stores there are.

Data comes in by PUT alone and there is one store, so no import method is listed and the stores are not either, as in a Glance set up
so. Version 2.9 is the newest whose every call is answered here; later ones are about caches, tasks and locations.
"""

from http import HTTPStatus
from typing import Final

from aiohttp import web

from novaflow.images.schema import SCHEMAS
from services.image.faults import Fault
from services.image.frame import refuse_body
from services.web import json_response

_VERSIONS: Final = ("2.9", "2.7", "2.6", "2.5", "2.4", "2.3", "2.2", "2.1", "2.0")


def routes() -> list[web.RouteDef]:
    """The urls below /v2."""
    return [
        web.get("/schemas/{name}", schema, allow_head=False),
        web.get("/info/import", import_methods, allow_head=False),
        web.get("/info/stores", stores, allow_head=False),
        web.get("/info/stores/detail", stores, allow_head=False),
    ]


def public_routes() -> list[web.RouteDef]:
    """The urls that need no token; whatever is no known version answers with the versions there are."""
    return [
        web.get("/versions", versions),
        web.get("/versions/", versions),
        web.get("/healthcheck", healthcheck),
        web.route("*", "/{rest:(?!v2(?:/|$)).*}", choices),
    ]


def is_public(request: web.Request) -> bool:
    """Whether this url answers without a token."""
    return request.path.lstrip("/").partition("/")[0] != "v2"


async def versions(request: web.Request) -> web.Response:
    """The versions, asked for by name."""
    return json_response(_document(request))


async def choices(request: web.Request) -> web.Response:
    """The versions, since the url named none."""
    return json_response(_document(request), HTTPStatus.MULTIPLE_CHOICES)


async def healthcheck(_request: web.Request) -> web.Response:
    """The service answers."""
    return web.Response(text="OK")


async def schema(request: web.Request) -> web.Response:
    """One of the JSON schemas."""
    refuse_body(request)
    found = SCHEMAS.get(request.match_info["name"])
    if found is None:
        raise Fault(HTTPStatus.NOT_FOUND)
    return json_response(found)


async def import_methods(_request: web.Request) -> web.Response:
    """The import methods: none."""
    methods = {"description": "Import methods available.", "type": "array", "value": []}
    return json_response({"import-methods": methods})


async def stores(_request: web.Request) -> web.Response:
    """The list of stores, which only a multi-store service has."""
    raise Fault(HTTPStatus.NOT_FOUND, "Multi backend is not supported at this site.")


def _document(request: web.Request) -> dict[str, object]:
    href = f"{request.scheme}://{request.host}/v2/"
    return {
        "versions": [
            {
                "id": f"v{version}",
                "status": "CURRENT" if version == _VERSIONS[0] else "SUPPORTED",
                "links": [{"rel": "self", "href": href}],
            }
            for version in _VERSIONS
        ]
    }
