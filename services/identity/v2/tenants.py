"""/v2.0/tenants (keystone/resource/controllers.py, keystone/assignment/controllers.py of Pike)."""

import uuid
from collections.abc import Iterable, Sequence
from typing import Final

from aiohttp import web

from novaflow.errors import Invalid, NotFound
from novaflow.identity.models import DEFAULT_DOMAIN, Grant, Project
from services.identity.access import claims_of
from services.identity.authority import Authority
from services.identity.bodies import Field, Fields, check, named, read_member, sort_out
from services.identity.v2.views import require_admin, role_view, tenant_view, user_view
from services.web import json_response

_FIELDS: Final[Fields] = {
    "name": named(64),
    "description": Field(nullable=True),
    "enabled": Field("boolean"),
}


class Tenants:
    """The projects of the default domain. `lists_all`: on the admin port an administrator sees every one of them."""

    def __init__(self, authority: Authority, *, lists_all: bool) -> None:
        self._records = authority.records
        self._lists_all = lists_all

    def routes(self) -> Iterable[web.RouteDef]:
        """What this resource answers to."""
        tenant, role = "/v2.0/tenants/{id}", "/v2.0/tenants/{id}/users/{user_id}/roles/OS-KSADM/{role_id}"
        return (
            web.get("/v2.0/tenants", self.index),
            web.post("/v2.0/tenants", self.create),
            web.get(tenant, self.show),
            web.put(tenant, self.update),
            web.post(tenant, self.update),
            web.delete(tenant, self.delete),
            web.get(f"{tenant}/users", self.users),
            web.get(f"{tenant}/users/{{user_id}}/roles", self.roles),
            web.put(role, self.grant),
            web.delete(role, self.revoke),
        )

    async def index(self, request: web.Request) -> web.Response:
        """The asker's tenants, or all of them; `name` picks one."""
        if not self._lists_all:
            mine = await self._records.grants.projects_of(claims_of(request).user.id)
            return _page(
                request, [project for project in mine if project.domain_id == DEFAULT_DOMAIN and project.enabled]
            )
        require_admin(request)
        name = request.query.get("name")
        if not name:
            return _page(request, await self._records.projects.all(domain_id=DEFAULT_DOMAIN))
        found = await self._records.projects.all(domain_id=DEFAULT_DOMAIN, name=name)
        if not found:
            raise NotFound(kind="project", key=name)
        return json_response({"tenant": tenant_view(found[0])})

    async def create(self, request: web.Request) -> web.Response:
        """A new tenant."""
        require_admin(request)
        body = await read_member(request, "tenant")
        check(body, _FIELDS, is_new=True)
        ours, extra = sort_out(body, _FIELDS)
        ours["description"] = ours.get("description") or ""
        project = Project(id=uuid.uuid4().hex, domain_id=DEFAULT_DOMAIN, parent_id=DEFAULT_DOMAIN, **ours, extra=extra)
        await self._records.projects.create(project)
        return json_response({"tenant": tenant_view(project)})

    async def show(self, request: web.Request) -> web.Response:
        """One tenant."""
        require_admin(request)
        return json_response({"tenant": tenant_view(await self._project(request))})

    async def update(self, request: web.Request) -> web.Response:
        """Change a tenant."""
        require_admin(request)
        body = await read_member(request, "tenant")
        check(body, _FIELDS, is_new=False)
        before = await self._project(request)
        changes, extra = sort_out(body, _FIELDS)
        if changes.get("description", "") is None:
            changes["description"] = ""
        after = await self._records.projects.update(before.id, changes | {"extra": before.extra | extra})
        return json_response({"tenant": tenant_view(after)})

    async def delete(self, request: web.Request) -> web.Response:
        """Delete a tenant."""
        require_admin(request)
        await self._records.projects.delete((await self._project(request)).id)
        return web.Response(status=204)

    async def users(self, request: web.Request) -> web.Response:
        """The users with a role in a tenant."""
        require_admin(request)
        project = await self._project(request)
        grants = await self._records.grants.all(target_id=project.id)
        held = {grant.actor_id for grant in grants if grant.actor_kind == "user"}
        users = [user for user in await self._records.users.all() if user.id in held]
        return json_response({"users": [user_view(user) for user in users]})

    async def roles(self, request: web.Request) -> web.Response:
        """A user's roles in a tenant."""
        require_admin(request)
        project = await self._project(request)
        grants = await self._records.grants.of_user(request.match_info["user_id"])
        held = {grant.role_id for grant in grants if grant.target_id == project.id}
        roles = [role for role in await self._records.roles.all() if role.id in held]
        return json_response({"roles": [role_view(role) for role in roles]})

    async def grant(self, request: web.Request) -> web.Response:
        """Give a user a role in a tenant."""
        require_admin(request)
        await self._records.grants.add(_grant(request))
        role = await self._records.roles.get(request.match_info["role_id"])
        return json_response({"role": role_view(role)})

    async def revoke(self, request: web.Request) -> web.Response:
        """Take a role in a tenant away from a user."""
        require_admin(request)
        await self._records.grants.remove(_grant(request))
        return web.Response(status=204)

    async def _project(self, request: web.Request) -> Project:
        project = await self._records.projects.get(request.match_info["id"])
        if project.domain_id != DEFAULT_DOMAIN:
            raise NotFound(kind="project", key=project.id)
        return project


def _grant(request: web.Request) -> Grant:
    found = request.match_info
    return Grant(
        actor_kind="user",
        actor_id=found["user_id"],
        target_kind="project",
        target_id=found["id"],
        role_id=found["role_id"],
    )


def _page(request: web.Request, projects: Sequence[Project]) -> web.Response:
    """Tenants after `marker`, at most `limit` of them."""
    marker, limit = request.query.get("marker"), request.query.get("limit")
    first = 0
    if marker is not None:
        places = [place for place, project in enumerate(projects) if project.id == marker]
        if not places:
            raise Invalid(reason="Marker could not be found")
        first = places[0] + 1
    if limit is not None and not limit.isdecimal():
        raise Invalid(reason="Invalid limit value")
    last = first + int(limit) if limit is not None else None
    return json_response({"tenants": [tenant_view(project) for project in projects[first:last]], "tenants_links": []})
