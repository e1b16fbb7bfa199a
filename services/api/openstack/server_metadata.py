"""`/servers/{id}/metadata`: the owner's own words about a server. Source: nova/api/openstack/compute/server_metadata.py."""

from functools import partial
from typing import Final

from aiohttp import web

from novaflow.errors import Invalid, Missing
from services.api.openstack.frame import Api, context, empty, read_body, reply
from services.api.openstack.schema import METADATA, METADATA_KEY, mapping, record, text

_ALL: Final = record({"metadata": METADATA}, required=("metadata",))
_ONE: Final = record(
    {"meta": mapping(METADATA_KEY, text(max_length=255), min_items=1, max_items=1)}, required=("meta",)
)


def routes(api: Api) -> list[web.RouteDef]:
    """All items, and one by its key."""
    return [
        web.get("/servers/{id}/metadata", partial(_list, api)),
        web.post("/servers/{id}/metadata", partial(_add, api)),
        web.put("/servers/{id}/metadata", partial(_replace, api)),
        web.get("/servers/{id}/metadata/{key}", partial(_show, api)),
        web.put("/servers/{id}/metadata/{key}", partial(_set, api)),
        web.delete("/servers/{id}/metadata/{key}", partial(_delete, api)),
    ]


async def _list(api: Api, request: web.Request) -> web.Response:
    server = await api.servers.get(context(request), request.match_info["id"])
    return reply({"metadata": server.metadata})


async def _add(api: Api, request: web.Request) -> web.Response:
    body = await read_body(request, _ALL)
    metadata = await api.servers.add_metadata(context(request), request.match_info["id"], body["metadata"])
    return reply({"metadata": metadata})


async def _replace(api: Api, request: web.Request) -> web.Response:
    body = await read_body(request, _ALL)
    metadata = await api.servers.replace_metadata(context(request), request.match_info["id"], body["metadata"])
    return reply({"metadata": metadata})


async def _show(api: Api, request: web.Request) -> web.Response:
    server = await api.servers.get(context(request), request.match_info["id"])
    key = request.match_info["key"]
    if key not in server.metadata:
        raise Missing(reason="Metadata item was not found")
    return reply({"meta": {key: server.metadata[key]}})


async def _set(api: Api, request: web.Request) -> web.Response:
    body = await read_body(request, _ONE)
    if request.match_info["key"] not in body["meta"]:
        raise Invalid(reason="Request body and URI mismatch")
    await api.servers.add_metadata(context(request), request.match_info["id"], body["meta"])
    return reply({"meta": body["meta"]})


async def _delete(api: Api, request: web.Request) -> web.Response:
    await api.servers.remove_metadata(context(request), request.match_info["id"], request.match_info["key"])
    return empty()
