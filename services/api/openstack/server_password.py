"""`/servers/{id}/os-server-password`: the password that a guest has encrypted for its owner and posted to the metadata service.

Source: nova/api/openstack/compute/server_password.py.
"""

from aiohttp import web

from services.api.openstack.frame import Api, context, empty, reply
from services.api.openstack.server_action import server_id_of


def routes(api: Api) -> list[web.RouteDef]:
    """Shown, and cleared."""

    async def show(request: web.Request) -> web.Response:
        return reply({"password": await api.guest_passwords.shown(context(request), server_id_of(request))})

    async def clear(request: web.Request) -> web.Response:
        await api.guest_passwords.clear(context(request), server_id_of(request))
        return empty()

    path = "/servers/{id}/os-server-password"
    return [web.get(path, show), web.delete(path, clear)]
