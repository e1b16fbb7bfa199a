"""`/servers/{id}/ips`: a server's addresses by network. Source: nova/api/openstack/compute/ips.py."""

from functools import partial

from aiohttp import web

from novaflow.errors import Missing
from services.api.openstack.frame import Api, context, reply
from services.api.openstack.server_views import addresses


def routes(api: Api) -> list[web.RouteDef]:
    """All networks, and one by its name."""
    return [
        web.get("/servers/{id}/ips", partial(_list, api)),
        web.get("/servers/{id}/ips/{network}", partial(_show, api)),
    ]


async def _list(api: Api, request: web.Request) -> web.Response:
    server = await api.servers.get(context(request), request.match_info["id"])
    return reply({"addresses": addresses(server.addresses)})


async def _show(api: Api, request: web.Request) -> web.Response:
    server = await api.servers.get(context(request), request.match_info["id"])
    network = request.match_info["network"]
    found = addresses(server.addresses)
    if network not in found:
        raise Missing(reason="Instance is not a member of specified network")
    return reply({network: found[network]})
