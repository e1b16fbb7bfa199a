"""`/servers/{id}/os-server-password`: the password that a guest encrypts for its owner and posts to the metadata service.

Ours takes none, so there is none to show. Source: nova/api/openstack/compute/server_password.py.
"""

from aiohttp import web

from services.api.openstack.frame import Api, context, empty, reply
from services.api.openstack.server_action import server_id_of


def routes(api: Api) -> list[web.RouteDef]:
    """Shown, and cleared."""

    async def show(request: web.Request) -> web.Response:
        await api.servers.get(context(request), server_id_of(request))
        return reply({"password": ""})

    async def clear(request: web.Request) -> web.Response:
        await api.servers.get(context(request), server_id_of(request))
        return empty()

    path = "/servers/{id}/os-server-password"
    return [web.get(path, show), web.delete(path, clear)]
