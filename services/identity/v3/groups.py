"""/v3/groups and who is in them (keystone/api/groups.py)."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from aiohttp import web

from novaflow.errors import NotFound
from novaflow.identity.models import Group
from services.identity.access import claims_of, require_admin, require_admin_or
from services.identity.authority import Authority
from services.identity.bodies import Field, Fields, named
from services.identity.links import View, listed, matching, with_link
from services.identity.v3.resource import Resource
from services.identity.v3.views import group_view, user_view
from services.web import json_response

_FIELDS: Final[Fields] = {
    "name": named(64),
    "domain_id": Field(shortest=1, longest=64),
    "description": Field(nullable=True),
}


class Groups(Resource[Group]):
    """The groups."""

    collection = "groups"
    member = "group"
    filters = ("name", "domain_id")
    fields = _FIELDS
    lives_in_domain = True

    def __init__(self, authority: Authority) -> None:
        self._groups = authority.records.groups
        super().__init__(self._groups)

    def routes(self) -> Iterable[web.RouteDef]:
        """The collection, its members and the users in them."""
        users = "/v3/groups/{id}/users"
        yield from super().routes()
        yield web.get(users, self.users)
        yield web.put(f"{users}/{{user_id}}", self.join)
        yield web.get(f"{users}/{{user_id}}", self.has)
        yield web.delete(f"{users}/{{user_id}}", self.leave)

    def view(self, record: Group) -> View:
        """A group as v3 shows it."""
        return group_view(record)

    async def make(self, body: Mapping[str, Any]) -> Group:
        """Store a new group."""
        return await self._groups.create(Group(**self.facts(body)))

    async def change(self, key: str, body: Mapping[str, Any]) -> Group:
        """Change a group; its domain stays."""
        changes = await self.changes(key, body)
        changes.pop("domain_id", None)
        return await self._groups.update(key, changes)

    async def users(self, request: web.Request) -> web.Response:
        """The users of a group."""
        require_admin(request, "list_users_in_group")
        found = await self._groups.members(request.match_info["id"])
        views = [with_link(request, "users", user_view(user)) for user in found]
        return json_response(listed(request, "users", matching(request, views, ("name", "domain_id", "enabled"))))

    async def join(self, request: web.Request) -> web.Response:
        """Put a user into a group."""
        require_admin(request, "add_user_to_group")
        await self._groups.join(request.match_info["id"], request.match_info["user_id"])
        return web.Response(status=204)

    async def has(self, request: web.Request) -> web.Response:
        """Whether a user is in a group."""
        group_id, user_id = request.match_info["id"], request.match_info["user_id"]
        require_admin_or(request, "check_user_in_group", is_own=claims_of(request).user.id == user_id)
        if not await self._groups.has(group_id, user_id):
            raise NotFound(kind="user", key=f"{user_id} in group {group_id}")
        return web.Response(status=204)

    async def leave(self, request: web.Request) -> web.Response:
        """Take a user out of a group."""
        require_admin(request, "remove_user_from_group")
        await self._groups.leave(request.match_info["id"], request.match_info["user_id"])
        return web.Response(status=204)
