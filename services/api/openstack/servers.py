"""`/servers`: made, listed, shown, changed, deleted. Source: nova/api/openstack/compute/servers.py."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from aiohttp import web

from novaflow.db.hosts import COMPUTE
from novaflow.db.listing import ServerQuery
from novaflow.models import Server, ServerName
from services.api.openstack.frame import Api, context, empty, links, microversion, read_body, reply
from services.api.openstack.microversion import Version
from services.api.openstack.paging import next_link, page
from services.api.openstack.server_create import create
from services.api.openstack.server_networking import networking
from services.api.openstack.server_query import server_query
from services.api.openstack.server_schemas import update_schema
from services.api.openstack.server_views import USER_DATA, USER_DATA_SINCE, Shown, brief, full, host_statuses, updated
from services.web import SPAN

VOLUMES: Final = "os-extended-volumes:volumes_attached"
_LASTING: Final[Version] = (2, 3)
_CHANGEABLE: Final = {
    "name": "name",
    "description": "description",
    "accessIPv4": "access_ipv4",
    "accessIPv6": "access_ipv6",
    "OS-DCF:diskConfig": "disk_config",
}


def routes(api: Api) -> list[web.RouteDef]:
    """The collection, with and without details, and one server."""
    return [
        web.get("/servers", partial(_list, api)),
        web.post("/servers", partial(create, api)),
        web.get("/servers/detail", partial(_list_in_detail, api)),
        web.get("/servers/{id}", partial(_show, api)),
        web.put("/servers/{id}", partial(_update, api)),
        web.delete("/servers/{id}", partial(_delete, api)),
    ]


async def _list(api: Api, request: web.Request) -> web.Response:
    query, here = _query(api, request, is_detail=False), links(request)
    found = await api.servers.names(query) if query else []
    return _listed(api, request, found, [brief(server, here) for server in found], "servers")


async def _list_in_detail(api: Api, request: web.Request) -> web.Response:
    query = _query(api, request, is_detail=True)
    found = await api.servers.list(query) if query else []
    here, version, is_admin = links(request), microversion(request), context(request).is_admin
    statuses = await _host_statuses(api, request, found)
    beside = await networking(api, found)
    shown = [full(server, here, version, beside, is_admin=is_admin, host_status=statuses) for server in found]
    await _add_volumes(api, shown, version)
    return _listed(api, request, found, shown, "servers/detail")


async def _show(api: Api, request: web.Request) -> web.Response:
    is_admin, version = context(request).is_admin, microversion(request)
    has_user_data = is_admin and version >= USER_DATA_SINCE
    server, user_data = await _get_in_full(api, request) if has_user_data else (await _get(api, request), None)
    statuses = await _host_statuses(api, request, [server])
    beside = await networking(api, [server])
    shown = full(server, links(request), version, beside, is_admin=is_admin, host_status=statuses)
    await _add_volumes(api, [shown], version)
    if has_user_data:
        shown[USER_DATA] = user_data
    return reply({"server": shown})


async def _update(api: Api, request: web.Request) -> web.Response:
    version = microversion(request)
    given = (await read_body(request, update_schema(version)))["server"]
    changes = {_CHANGEABLE[field]: value for field, value in given.items()}
    request[SPAN].attributes["server_id"] = request.match_info["id"]
    server = await api.servers.update(context(request), request.match_info["id"], changes)
    beside = await networking(api, [server])
    shown = updated(server, links(request), version, beside, is_admin=context(request).is_admin)
    return reply({"server": shown})


async def _delete(api: Api, request: web.Request) -> web.Response:
    request[SPAN].attributes["server_id"] = request.match_info["id"]
    await api.server_actions.ends.delete(context(request), request.match_info["id"])
    return empty()


async def _get(api: Api, request: web.Request) -> Server:
    request[SPAN].attributes["server_id"] = request.match_info["id"]
    return await api.servers.get(context(request), request.match_info["id"])


async def _get_in_full(api: Api, request: web.Request) -> tuple[Server, str | None]:
    request[SPAN].attributes["server_id"] = request.match_info["id"]
    return await api.servers.get_in_full(context(request), request.match_info["id"])


def _query(api: Api, request: web.Request, *, is_detail: bool) -> ServerQuery | None:
    return server_query(request, api.config.api.max_limit, is_detail=is_detail)


async def _add_volumes(api: Api, shown: Sequence[Shown], version: Version) -> None:
    """The volumes that each server has; they outlive it."""
    attached = await api.volumes.of_servers([server["id"] for server in shown])
    more = {"delete_on_termination": False} if version >= _LASTING else {}
    for server in shown:
        server[VOLUMES] = [{"id": volume.id, **more} for volume in attached.get(server["id"], ())]


async def _host_statuses(api: Api, request: web.Request, shown: Sequence[Server]) -> Mapping[str, str] | None:
    """By host name how each is; None for those who may not know."""
    if microversion(request) < (2, 16) or not context(request).is_admin:
        return None
    if all(server.host is None for server in shown):
        return {}
    return host_statuses(await api.services.recent(context(request), binary=COMPUTE))


def _listed(
    api: Api, request: web.Request, found: Sequence[Server | ServerName], shown: list[Shown], path: str
) -> web.Response:
    limit = page(request, api.config.api.max_limit).limit
    answer: Shown = {"servers": shown}
    if further := next_link(request, found, limit, found[-1].id if found else "", path):
        answer["servers_links"] = further
    return reply(answer)
