"""/v2.0/OS-KSADM/roles (keystone/assignment/controllers.py of Pike)."""

import uuid
from collections.abc import Iterable

from aiohttp import web

from novaflow.identity.models import Role
from services.identity.authority import Authority
from services.identity.bodies import check, named, read_member, sort_out
from services.identity.v2.views import require_admin, role_view
from services.web import json_response

_FIELDS = {"name": named(255)}


class Roles:
    """The global roles."""

    def __init__(self, authority: Authority) -> None:
        self._roles = authority.records.roles

    def routes(self) -> Iterable[web.RouteDef]:
        """What this resource answers to."""
        roles = "/v2.0/OS-KSADM/roles"
        return (
            web.get(roles, self.index),
            web.post(roles, self.create),
            web.get(f"{roles}/{{id}}", self.show),
            web.delete(f"{roles}/{{id}}", self.delete),
        )

    async def index(self, request: web.Request) -> web.Response:
        """Every role."""
        require_admin(request)
        return json_response({"roles": [role_view(role) for role in await self._roles.all(domain_id="")]})

    async def create(self, request: web.Request) -> web.Response:
        """A new role."""
        require_admin(request)
        body = await read_member(request, "role")
        check(body, _FIELDS, is_new=True)
        ours, extra = sort_out(body, _FIELDS)
        role = await self._roles.create(Role(id=uuid.uuid4().hex, **ours, extra=extra))
        return json_response({"role": role_view(role)})

    async def show(self, request: web.Request) -> web.Response:
        """One role."""
        require_admin(request)
        return json_response({"role": role_view(await self._roles.get(request.match_info["id"]))})

    async def delete(self, request: web.Request) -> web.Response:
        """Delete a role."""
        require_admin(request)
        await self._roles.delete(request.match_info["id"])
        return web.Response(status=204)
