"""Which versions of the API there are (keystone/api/discovery.py; for v2.0 keystone/version/controllers.py of 2017)."""

from collections.abc import Iterable
from typing import Any, Final

from aiohttp import web

from services.identity.links import base_url
from services.web import json_response

_MEDIA_TYPE: Final = "application/vnd.openstack.identity-{}+json"


def routes() -> Iterable[web.RouteDef]:
    """The documents at /, /v3 and /v2.0, with and without a slash at the end."""
    yield web.get("/", _versions)
    for path, show in (("/v3", _v3), ("/v2.0", _v2)):
        yield web.get(path, show)
        yield web.get(f"{path}/", show)


async def _versions(request: web.Request) -> web.Response:
    values = [_version(request, "v3"), _version(request, "v2.0")]
    headers = {"Location": f"{base_url(request)}/v3/"}
    return json_response({"versions": {"values": values}}, 300, headers)


async def _v3(request: web.Request) -> web.Response:
    return json_response({"version": _version(request, "v3")})


async def _v2(request: web.Request) -> web.Response:
    return json_response({"version": _version(request, "v2.0")})


def _version(request: web.Request, name: str) -> dict[str, Any]:
    links = [{"rel": "self", "href": f"{base_url(request)}/{name}/"}]
    if name == "v2.0":
        links.append({"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"})
    return {
        "id": "v3.14" if name == "v3" else name,
        "status": "stable" if name == "v3" else "deprecated",
        "updated": "2020-04-07T00:00:00Z" if name == "v3" else "2016-08-04T00:00:00Z",
        "links": links,
        "media-types": [{"base": "application/json", "type": _MEDIA_TYPE.format(name)}],
    }
