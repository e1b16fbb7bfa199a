"""`/servers/{id}/tags`: short words to find a server by; since 2.26. Source: nova/api/openstack/compute/server_tags.py."""

from functools import partial
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from aiohttp import web

from novaflow.errors import Invalid, Missing
from novaflow.operations.servers import MAX_TAGS
from services.api.openstack.frame import Api, context, empty, links, needs, read_body, reply
from services.api.openstack.microversion import Version
from services.api.openstack.schema import Mismatch, array, record
from services.api.openstack.server_schemas import TAG

_SINCE: Final[Version] = (2, 26)
_ALL: Final = record({"tags": array(TAG, max_items=MAX_TAGS)}, required=("tags",))


def routes(api: Api) -> list[web.RouteDef]:
    """All tags, and one by its text."""
    return [
        web.get("/servers/{id}/tags", partial(_list, api)),
        web.put("/servers/{id}/tags", partial(_replace, api)),
        web.delete("/servers/{id}/tags", partial(_clear, api)),
        web.get("/servers/{id}/tags/{tag}", partial(_show, api)),
        web.put("/servers/{id}/tags/{tag}", partial(_add, api)),
        web.delete("/servers/{id}/tags/{tag}", partial(_remove, api)),
    ]


async def _list(api: Api, request: web.Request) -> web.Response:
    needs(request, _SINCE)
    server = await api.servers.get(context(request), request.match_info["id"])
    return reply({"tags": list(server.tags)})


async def _replace(api: Api, request: web.Request) -> web.Response:
    needs(request, _SINCE)
    body = await read_body(request, _ALL)
    tags = await api.servers.replace_tags(context(request), request.match_info["id"], body["tags"])
    return reply({"tags": list(tags)})


async def _clear(api: Api, request: web.Request) -> web.Response:
    needs(request, _SINCE)
    await api.servers.replace_tags(context(request), request.match_info["id"], ())
    return empty()


async def _show(api: Api, request: web.Request) -> web.Response:
    """Whether the server has the tag: 204 or 404."""
    needs(request, _SINCE)
    server = await api.servers.get(context(request), request.match_info["id"])
    tag = request.match_info["tag"]
    if tag not in server.tags:
        raise Missing(reason=f"Server {server.id} has no tag '{tag}'")
    return empty()


async def _add(api: Api, request: web.Request) -> web.Response:
    """201 with the tag's url for a new tag, 204 for one that is there."""
    needs(request, _SINCE)
    server_id, tag = request.match_info["id"], request.match_info["tag"]
    try:
        TAG(tag)
    except Mismatch as mismatch:
        raise Invalid(
            reason=f"Tag '{tag[:64]}' is invalid. It must be a non empty string without characters '/' and ','. "
            f"Validation error message: {mismatch.reason}"
        ) from None
    if not await api.servers.add_tag(context(request), server_id, tag):
        return empty()
    location = f"{links(request).versioned}/servers/{server_id}/tags/{quote(tag, safe='')}"
    return web.Response(status=HTTPStatus.CREATED, headers={"Location": location})


async def _remove(api: Api, request: web.Request) -> web.Response:
    needs(request, _SINCE)
    await api.servers.remove_tag(context(request), request.match_info["id"], request.match_info["tag"])
    return empty()
