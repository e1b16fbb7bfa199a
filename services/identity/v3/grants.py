"""Grants: /v3/{projects,domains}/{id}/{users,groups}/{id}/roles/{id}, and the same on the system.

After keystone/api/projects.py, domains.py and system.py.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from aiohttp import web

from novaflow.identity.models import SYSTEM, Grant
from services.identity.access import require_admin
from services.identity.authority import Authority
from services.identity.links import listed, matching, with_link
from services.identity.v3.views import role_view
from services.web import Handler, json_response

_GrantHandler = Callable[[web.Request, Grant], Awaitable[web.Response]]

_TARGETS: Final = (
    ("project", "/v3/projects/{target_id}"),
    ("domain", "/v3/domains/{target_id}"),
    (SYSTEM, "/v3/system"),
)
_ACTORS: Final = (("user", "users/{actor_id}"), ("group", "groups/{actor_id}"))


class Grants:
    """Who was granted what, target by target."""

    def __init__(self, authority: Authority) -> None:
        self._grants = authority.records.grants
        self._roles = authority.records.roles

    def routes(self) -> Iterable[web.RouteDef]:
        """The roles of each kind of actor on each kind of target."""
        for target_kind, target in _TARGETS:
            for actor_kind, actor in _ACTORS:
                roles = f"{target}/{actor}/roles"
                yield web.get(roles, self._bound(self.index, actor_kind, target_kind))
                yield web.put(f"{roles}/{{role_id}}", self._bound(self.add, actor_kind, target_kind))
                yield web.get(f"{roles}/{{role_id}}", self._bound(self.check, actor_kind, target_kind))
                yield web.delete(f"{roles}/{{role_id}}", self._bound(self.remove, actor_kind, target_kind))

    async def index(self, request: web.Request, asked: Grant) -> web.Response:
        """The roles an actor was granted on a target."""
        require_admin(request, "list_grants")
        found = await self._grants.all(actor_id=asked.actor_id, target_id=asked.target_id)
        held = {grant.role_id for grant in found}
        views = [with_link(request, "roles", role_view(role)) for role in await self._roles.all() if role.id in held]
        return json_response(listed(request, "roles", matching(request, views, ("name",))))

    async def add(self, request: web.Request, asked: Grant) -> web.Response:
        """Grant a role."""
        require_admin(request, "create_grant")
        await self._grants.add(asked)
        return web.Response(status=204)

    async def check(self, request: web.Request, asked: Grant) -> web.Response:
        """Whether a role is granted."""
        require_admin(request, "check_grant")
        await self._grants.check(asked)
        return web.Response(status=204)

    async def remove(self, request: web.Request, asked: Grant) -> web.Response:
        """Take a role away."""
        require_admin(request, "revoke_grant")
        await self._grants.remove(asked)
        return web.Response(status=204)

    def _bound(self, handler: _GrantHandler, actor_kind: str, target_kind: str) -> Handler:
        async def bound(request: web.Request) -> web.StreamResponse:
            found = request.match_info
            asked = Grant(
                actor_kind=actor_kind,
                actor_id=found["actor_id"],
                target_kind=target_kind,
                target_id=found.get("target_id", SYSTEM),
                role_id=found.get("role_id", ""),
            )
            return await handler(request, asked)

        return bound
