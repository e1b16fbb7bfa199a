"""/v2.0/extensions: what this service knows beyond the core of v2.0."""

from collections.abc import Iterable
from typing import Any, Final

from aiohttp import web

from novaflow.errors import NotFound
from services.web import json_response

_LINK: Final = {
    "rel": "describedby",
    "type": "text/html",
    "href": "https://developer.openstack.org/api-ref-identity-v2-ext.html",
}
_EXTENSIONS: Final[dict[str, dict[str, Any]]] = {
    "OS-KSADM": {
        "name": "OpenStack Keystone Admin",
        "namespace": "https://docs.openstack.org/identity/api/ext/OS-KSADM/v1.0",
        "alias": "OS-KSADM",
        "updated": "2013-07-11T17:14:00-00:00",
        "description": "OpenStack extensions to Keystone v2.0 API enabling Administrative Operations.",
        "links": [_LINK],
    },
    "OS-KSCRUD": {
        "name": "OpenStack Keystone User CRUD",
        "namespace": "https://docs.openstack.org/identity/api/ext/OS-KSCRUD/v1.0",
        "alias": "OS-KSCRUD",
        "updated": "2013-07-07T12:00:0-00:00",
        "description": "OpenStack extensions to Keystone v2.0 API enabling User Operations.",
        "links": [_LINK],
    },
    "OS-EC2": {
        "name": "OpenStack EC2 API",
        "namespace": "https://docs.openstack.org/identity/api/ext/OS-EC2/v1.0",
        "alias": "OS-EC2",
        "updated": "2013-07-07T12:00:0-00:00",
        "description": "OpenStack EC2 Credentials backend.",
        "links": [_LINK],
    },
}


def routes() -> Iterable[web.RouteDef]:
    """What this resource answers to."""
    return (web.get("/v2.0/extensions", _index), web.get("/v2.0/extensions/{alias}", _show))


async def _index(_request: web.Request) -> web.Response:
    return json_response({"extensions": {"values": list(_EXTENSIONS.values())}})


async def _show(request: web.Request) -> web.Response:
    alias = request.match_info["alias"]
    if alias not in _EXTENSIONS:
        raise NotFound(kind="extension", key=alias)
    return json_response({"extension": _EXTENSIONS[alias]})
