"""Server groups: this cloud has none. Source: nova/api/openstack/compute/server_groups.py."""

from http import HTTPStatus

from aiohttp import web

from services.api.openstack.faults import HttpFault
from services.api.openstack.frame import Api, reply


def routes(api: Api) -> list[web.RouteDef]:  # noqa: ARG001 - as every resource
    """`/os-server-groups`."""

    async def index(request: web.Request) -> web.Response:  # noqa: ARG001 - the same for everybody
        return reply({"server_groups": []})

    async def show(request: web.Request) -> web.Response:
        said = f"Instance group {request.match_info['id']} could not be found."
        raise HttpFault(HTTPStatus.NOT_FOUND, said)

    return [web.get("/os-server-groups", index), web.get("/os-server-groups/{id}", show)]
