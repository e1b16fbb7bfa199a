"""Host aggregates: this cloud has none, which is what clients that look a host up in them are told.

Source: nova/api/openstack/compute/aggregates.py.
"""

from http import HTTPStatus

from aiohttp import web

from novaflow.operations.rights import admin_only
from services.api.openstack.faults import HttpFault
from services.api.openstack.frame import Api, context, reply


def routes(api: Api) -> list[web.RouteDef]:  # noqa: ARG001 - as every resource
    """`/os-aggregates`."""

    async def index(request: web.Request) -> web.Response:
        admin_only(context(request), "os_compute_api:os-aggregates:index")
        return reply({"aggregates": []})

    async def show(request: web.Request) -> web.Response:
        admin_only(context(request), "os_compute_api:os-aggregates:show")
        said = f"Aggregate {request.match_info['id']} could not be found."
        raise HttpFault(HTTPStatus.NOT_FOUND, said)

    return [web.get("/os-aggregates", index), web.get("/os-aggregates/{id}", show)]
