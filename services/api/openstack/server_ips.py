"""`/servers/{id}/ips`: a server's addresses by network. Source: nova/api/openstack/compute/ips.py."""

from functools import partial

from aiohttp import web

from novaflow.errors import Missing
from services.api.openstack.frame import Api, context, reply
from services.api.openstack.server_views import Shown, addresses


def routes(api: Api) -> list[web.RouteDef]:
    """All networks, and one by its name."""
    return [
        web.get("/servers/{id}/ips", partial(_list, api)),
        web.get("/servers/{id}/ips/{network}", partial(_show, api)),
    ]


async def _list(api: Api, request: web.Request) -> web.Response:
    return reply({"addresses": await _addresses(api, request)})


async def _show(api: Api, request: web.Request) -> web.Response:
    network = request.match_info["network"]
    found = await _addresses(api, request)
    if network not in found:
        raise Missing(reason="Instance is not a member of specified network")
    return reply({network: found[network]})


async def _addresses(api: Api, request: web.Request) -> dict[str, list[Shown]]:
    server = await api.servers.get(context(request), request.match_info["id"])
    floating = await api.floating_addresses.of_servers([server.id])
    return addresses(server.addresses, floating.get(server.id, ()))
