"""/v2.0/OS-KSADM/services (keystone/catalog/controllers.py of Pike)."""

import uuid
from collections.abc import Iterable
from typing import Final

from aiohttp import web

from novaflow.identity.models import Service
from services.identity.authority import Authority
from services.identity.bodies import Field, Fields, check, read_member, sort_out
from services.identity.v2.views import require_admin
from services.identity.v3.views import service_view
from services.web import json_response

_MEMBER: Final = "OS-KSADM:service"
_FIELDS: Final[Fields] = {
    "type": Field(required=True, shortest=1, longest=255),
    "name": Field(nullable=True, longest=255),
    "description": Field(nullable=True),
}


class Services:
    """The services of the catalogue."""

    def __init__(self, authority: Authority) -> None:
        self._services = authority.records.services

    def routes(self) -> Iterable[web.RouteDef]:
        """What this resource answers to."""
        services = "/v2.0/OS-KSADM/services"
        return (
            web.get(services, self.index),
            web.post(services, self.create),
            web.get(f"{services}/{{id}}", self.show),
            web.delete(f"{services}/{{id}}", self.delete),
        )

    async def index(self, request: web.Request) -> web.Response:
        """Every service."""
        require_admin(request)
        return json_response({"OS-KSADM:services": [service_view(service) for service in await self._services.all()]})

    async def create(self, request: web.Request) -> web.Response:
        """A new service."""
        require_admin(request)
        body = await read_member(request, _MEMBER)
        check(body, _FIELDS, is_new=True)
        ours, extra = sort_out(body, _FIELDS)
        service = await self._services.create(Service(id=uuid.uuid4().hex, **ours, extra=extra))
        return json_response({_MEMBER: service_view(service)})

    async def show(self, request: web.Request) -> web.Response:
        """One service."""
        require_admin(request)
        return json_response({_MEMBER: service_view(await self._services.get(request.match_info["id"]))})

    async def delete(self, request: web.Request) -> web.Response:
        """Delete a service and its endpoints."""
        require_admin(request)
        await self._services.delete(request.match_info["id"])
        return web.Response(status=204)
