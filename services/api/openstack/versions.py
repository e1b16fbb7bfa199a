"""Which versions of the API there are: `GET /`, `GET /v2.1/`, `GET /v2/`, and what any other url is answered with.

Source: nova/api/openstack/compute/versions.py and its view.
"""

from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from services.api.openstack.microversion import MAX, MIN, text
from services.web import json_response

_DESCRIPTION: Final = {"rel": "describedby", "type": "text/html", "href": "http://docs.openstack.org/"}
_VERSIONS: Final[dict[str, dict[str, Any]]] = {
    "v2": {
        "id": "v2.0",
        "status": "SUPPORTED",
        "version": "",
        "min_version": "",
        "updated": "2011-01-21T11:33:21Z",
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2"}],
    },
    "v2.1": {
        "id": "v2.1",
        "status": "CURRENT",
        "version": text(MAX),
        "min_version": text(MIN),
        "updated": "2013-07-23T11:33:21Z",
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"}],
    },
}
_LISTED: Final = ("id", "status", "version", "min_version", "updated")


def version_routes() -> list[web.RouteDef]:
    """The urls that need no token."""
    return [
        web.get("/", _all),
        *(web.get(f"/{{version:v2|v2\\.1}}{slash}", _one) for slash in ("", "/")),
        web.route("*", r"/{elsewhere:(?!v2/|v2\.1/).+}", _choices),
    ]


async def _all(request: web.Request) -> web.Response:
    root = _root(request)
    listed = [
        {**{key: facts[key] for key in _LISTED}, "links": [{"rel": "self", "href": f"{root}/{path}/"}]}
        for path, facts in _VERSIONS.items()
    ]
    return json_response({"versions": listed})


async def _one(request: web.Request) -> web.Response:
    path = request.match_info["version"]
    here = {"rel": "self", "href": f"{_root(request)}/{path}/"}
    return json_response({"version": {**_VERSIONS[path], "links": [here, _DESCRIPTION]}})


async def _choices(request: web.Request) -> web.Response:
    """A url below no version: where it would be found."""
    choices = [
        {
            "id": facts["id"],
            "status": facts["status"],
            "links": [{"rel": "self", "href": f"{_root(request)}/{path}{request.path}"}],
            "media-types": facts["media-types"],
        }
        for path, facts in _VERSIONS.items()
    ]
    return json_response({"choices": choices}, status=HTTPStatus.MULTIPLE_CHOICES)


def _root(request: web.Request) -> str:
    return f"{request.scheme}://{request.host}"
