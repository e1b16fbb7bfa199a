"""/v2.0/users with its OS-KSADM and OS-KSCRUD extensions (keystone/identity/controllers.py of Pike)."""

import uuid
from collections.abc import Iterable
from typing import Any, Final

from aiohttp import web

from novaflow.db.identity_logins import Wanted, WantedScope
from novaflow.errors import Forbidden, NotFound
from novaflow.identity.models import DEFAULT_DOMAIN, Grant, User
from novaflow.identity.roles import MEMBER_ROLE
from services.identity.access import claims_of
from services.identity.authority import Authority
from services.identity.bodies import Field, Fields, check, missing, named, read_member, sort_out
from services.identity.v2.tokens import access_view
from services.identity.v2.views import require_admin, role_view, user_view
from services.identity.v3.users import check_length
from services.web import json_response

_FIELDS: Final[Fields] = {
    "name": named(255),
    "password": Field(nullable=True),
    "tenantId": Field(nullable=True),
    "enabled": Field("boolean"),
}
_RENAMED: Final = {"username": "name", "OS-KSADM:password": "password"}
_UNKNOWN_TO_V2: Final = ("domain_id", "domain", "default_project_id")


class Users:
    """The users of the default domain."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._records = authority.records

    def routes(self) -> Iterable[web.RouteDef]:
        """What this resource answers to, with and without the extension's name."""
        user = "/v2.0/users/{id}"
        yield web.get("/v2.0/users", self.index)
        yield web.post("/v2.0/users", self.create)
        yield web.get(user, self.show)
        yield web.put(user, self.update)
        yield web.delete(user, self.delete)
        for extension in ("", "/OS-KSADM"):
            for what in ("password", "tenant", "enabled"):
                yield web.put(f"{user}{extension}/{what}", self.update)
        yield web.get(f"{user}/roles", self.roles)
        yield web.patch("/v2.0/OS-KSCRUD/users/{id}", self.change_own_password)

    async def index(self, request: web.Request) -> web.Response:
        """Every user; `name` picks one."""
        require_admin(request)
        name = request.query.get("name")
        if not name:
            users = await self._records.users.all(domain_id=DEFAULT_DOMAIN)
            return json_response({"users": [user_view(user) for user in users]})
        found = await self._records.users.all(domain_id=DEFAULT_DOMAIN, name=name)
        if not found:
            raise NotFound(kind="user", key=name)
        return json_response({"user": user_view(found[0])})

    async def create(self, request: web.Request) -> web.Response:
        """A new user; with a tenantId it becomes a member there."""
        require_admin(request)
        body = await _read(request)
        check(body, _FIELDS, is_new=True)
        ours, extra = sort_out(body, _FIELDS)
        columns = await self._columns(ours)
        user = User(id=uuid.uuid4().hex, domain_id=DEFAULT_DOMAIN, **columns, extra=extra)
        await self._records.users.create(user)
        await self._become_member(user)
        return json_response({"user": user_view(user)})

    async def show(self, request: web.Request) -> web.Response:
        """One user."""
        require_admin(request)
        return json_response({"user": user_view(await self._user(request))})

    async def update(self, request: web.Request) -> web.Response:
        """Change a user: what the body names, whichever address it came to."""
        require_admin(request)
        body = await _read(request)
        check(body, _FIELDS, is_new=False)
        before = await self._user(request)
        ours, extra = sort_out(body, _FIELDS)
        changes = await self._columns(ours)
        after = await self._records.users.update(before.id, changes | {"extra": before.extra | extra})
        if after.default_project_id != before.default_project_id:
            await self._become_member(after)
        return json_response({"user": user_view(after)})

    async def delete(self, request: web.Request) -> web.Response:
        """Delete a user."""
        require_admin(request)
        await self._records.users.delete((await self._user(request)).id)
        return web.Response(status=204)

    async def roles(self, request: web.Request) -> web.Response:
        """Every role a user has in some tenant."""
        require_admin(request)
        user = await self._user(request)
        held = {grant.role_id for grant in await self._records.grants.of_user(user.id)}
        roles = [role for role in await self._records.roles.all() if role.id in held]
        return json_response({"roles": [role_view(role) for role in roles]})

    async def change_own_password(self, request: web.Request) -> web.Response:
        """Let a user change its own password; the answer is a token that works with it."""
        user_id = request.match_info["id"]
        claims = claims_of(request)
        if claims.user.id != user_id:
            raise Forbidden(rule="identity:change_password")
        body = await read_member(request, "user")
        for name in ("password", "original_password"):
            if name not in body:
                raise missing(name, "user")
            check(body, {name: Field()}, is_new=True)
        check_length(body["password"])
        await self._authority.change_password(user_id, body["original_password"], body["password"])
        scope = WantedScope(project=Wanted(id=claims.project.id) if claims.project else None)
        issued = await self._authority.log_in(Wanted(id=user_id), body["password"], scope)
        return json_response({"access": await access_view(self._authority, issued.token, issued.claims)})

    async def _user(self, request: web.Request) -> User:
        user = await self._records.users.get(request.match_info["id"])
        if user.domain_id != DEFAULT_DOMAIN:
            raise NotFound(kind="user", key=user.id)
        return user

    async def _columns(self, ours: dict[str, Any]) -> dict[str, Any]:
        columns = dict(ours)
        if "tenantId" in columns:
            columns["default_project_id"] = columns.pop("tenantId")
            if columns["default_project_id"]:
                await self._records.projects.get(columns["default_project_id"])
        if "password" in columns:
            password = columns.pop("password")
            check_length(password or "")
            columns["password_hash"] = await self._authority.passwords.hash(password) if password is not None else None
        return columns

    async def _become_member(self, user: User) -> None:
        if not user.default_project_id:
            return
        (member,) = await self._records.roles.all(domain_id="", name=MEMBER_ROLE) or (None,)
        if member is None:
            return
        grant = Grant(
            actor_kind="user",
            actor_id=user.id,
            target_kind="project",
            target_id=user.default_project_id,
            role_id=member.id,
        )
        await self._records.grants.add(grant)


async def _read(request: web.Request) -> dict[str, Any]:
    body = await read_member(request, "user")
    for old, new in _RENAMED.items():
        if old in body:
            body.setdefault(new, body.pop(old))
    return {name: value for name, value in body.items() if name not in _UNKNOWN_TO_V2}
