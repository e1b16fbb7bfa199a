"""/v3/users: users, their passwords, projects and groups (keystone/api/users.py)."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from aiohttp import web

from novaflow.errors import Invalid, Protected
from novaflow.identity.models import User
from novaflow.identity.passwords import MAX_LENGTH
from services.identity.access import claims_of, require_admin_or
from services.identity.authority import Authority
from services.identity.bodies import Field, Fields, check, named, read_member
from services.identity.links import View, listed, matching, with_link
from services.identity.v3.resource import Resource
from services.identity.v3.views import group_view, project_view, user_view
from services.web import json_response

_FIELDS: Final[Fields] = {
    "name": named(255),
    "domain_id": Field(shortest=1, longest=64),
    "description": Field(nullable=True),
    "enabled": Field("boolean"),
    "default_project_id": Field(nullable=True),
    "password": Field(nullable=True),
    "options": Field("object"),
}
_PASSWORD_CHANGE: Final[Fields] = {
    "original_password": Field(required=True),
    "password": Field(required=True),
}


class Users(Resource[User]):
    """The users. One sees itself; the rest is the administrators'."""

    collection = "users"
    member = "user"
    filters = ("name", "domain_id", "enabled")
    fields = _FIELDS
    lives_in_domain = True
    has_text = False

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        super().__init__(authority.records.users)

    def routes(self) -> Iterable[web.RouteDef]:
        """The collection, its members and what belongs to them."""
        yield from super().routes()
        yield web.post("/v3/users/{id}/password", self.change_password)
        yield web.get("/v3/users/{id}/projects", self.projects)
        yield web.get("/v3/users/{id}/groups", self.groups)

    def check_show(self, request: web.Request, key: str) -> None:
        """A user is seen by administrators and by itself."""
        require_admin_or(request, "get_user", is_own=claims_of(request).user.id == key)

    def view(self, record: User) -> View:
        """A user as v3 shows it."""
        return user_view(record)

    async def make(self, body: Mapping[str, Any]) -> User:
        """Store a new user, who may log in if it has a password."""
        facts = self.facts(body)
        facts["password_hash"] = await self._hashed(facts.pop("password", None))
        return await self._authority.records.users.create(User(**facts))

    async def change(self, key: str, body: Mapping[str, Any]) -> User:
        """Change a user; a new password ends its tokens."""
        changes = await self.changes(key, body)
        if changes.pop("domain_id", None) not in (None, (await self._records.get(key)).domain_id):
            raise Invalid(reason="Cannot change user domain ID")
        if "password" in changes:
            changes["password_hash"] = await self._hashed(changes.pop("password"))
        return await self._authority.records.users.update(key, changes)

    async def change_password(self, request: web.Request) -> web.Response:
        """Let a user change its own password: whoever knows the old one needs no token."""
        body = await read_member(request, "user")
        check(body, _PASSWORD_CHANGE, is_new=True)
        check_length(body["password"])
        await self._authority.change_password(request.match_info["id"], body["original_password"], body["password"])
        return web.Response(status=204)

    async def projects(self, request: web.Request) -> web.Response:
        """The projects a user has roles in."""
        key = request.match_info["id"]
        require_admin_or(request, "list_user_projects", is_own=claims_of(request).user.id == key)
        await self._records.get(key)
        found = await self._authority.records.grants.projects_of(key)
        views = [with_link(request, "projects", project_view(project)) for project in found]
        return json_response(listed(request, "projects", matching(request, views, ("name", "domain_id", "enabled"))))

    async def groups(self, request: web.Request) -> web.Response:
        """The groups a user is in."""
        key = request.match_info["id"]
        require_admin_or(request, "list_groups_for_user", is_own=claims_of(request).user.id == key)
        found = await self._authority.records.groups.of_user(key)
        views = [with_link(request, "groups", group_view(group)) for group in found]
        return json_response(listed(request, "groups", matching(request, views, ("name",))))

    async def _hashed(self, password: str | None) -> str | None:
        if password is None:
            return None
        check_length(password)
        return await self._authority.passwords.hash(password)


def check_length(password: str) -> None:
    """Raises Protected for a password longer than Keystone takes."""
    if len(password) > MAX_LENGTH:
        raise Protected(
            reason=f"The password length must be less than or equal to {MAX_LENGTH}. "
            "The server could not comply with the request because the password is invalid."
        )
