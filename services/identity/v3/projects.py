"""/v3/projects (keystone/api/projects.py)."""

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from novaflow.db.identity import Identity
from novaflow.errors import Invalid, NotFound
from novaflow.identity.models import Domain, Project
from services.identity.access import claims_of, require_admin_or
from services.identity.authority import Authority
from services.identity.bodies import Field, Fields, named
from services.identity.links import View, is_set, listed, matching, with_link
from services.identity.v3.hierarchy import relatives, relatives_asked_for
from services.identity.v3.project_tags import check_tags, has_tags
from services.identity.v3.resource import Resource
from services.identity.v3.views import domain_view, project_view
from services.web import json_response

_FIELDS: Final[Fields] = {
    "name": named(64),
    "description": Field(nullable=True),
    "domain_id": Field(nullable=True, shortest=1, longest=64),
    "parent_id": Field(nullable=True, shortest=1, longest=64),
    "enabled": Field("boolean"),
    "tags": Field("array"),
    "options": Field("object"),
    "is_domain": Field("boolean"),
}
_FIXED: Final = ("domain_id", "parent_id", "is_domain")


class Projects(Resource[Project]):
    """The projects. A domain is not shown as a project, except to whoever asks with is_domain."""

    collection = "projects"
    member = "project"
    filters = ("name", "domain_id", "enabled", "parent_id")
    fields = _FIELDS
    lives_in_domain = True

    def __init__(self, authority: Authority) -> None:
        self._all: Identity = authority.records
        super().__init__(self._all.projects)

    async def index(self, request: web.Request) -> web.Response:
        """The projects, or with is_domain the domains as projects; tags narrow them down further."""
        self.check_index(request)
        if is_set(request, "is_domain"):
            domains = await self._all.domains.all()
            views = [with_link(request, "projects", _as_project(domain)) for domain in domains]
        else:
            views = [self.linked(request, project) for project in await self.find(request)]
        chosen = [view for view in matching(request, views, self.filters) if has_tags(request, set(view["tags"]))]
        return json_response(listed(request, "projects", chosen))

    def check_show(self, request: web.Request, key: str) -> None:
        """A project is seen by administrators and by those who work in it."""
        project = claims_of(request).project
        require_admin_or(request, "get_project", is_own=project is not None and project.id == key)

    async def detailed(self, request: web.Request, record: Project) -> View:
        """A project, with what is above and below it if asked for."""
        asked = relatives_asked_for(request)
        if not asked:
            return self.linked(request, record)
        projects = await self._all.projects.all(domain_id=record.domain_id)
        return self.linked(request, record) | relatives(record, projects, asked, lambda one: self.linked(request, one))

    def view(self, record: Project) -> View:
        """A project as v3 shows it."""
        return project_view(record)

    async def make(self, body: Mapping[str, Any]) -> Project:
        """Store a new project at the top of its domain or below another one."""
        facts = self.facts(body)
        if facts.pop("is_domain", False):
            raise Invalid(reason="A project that acts as a domain is created as a domain.")
        check_tags(facts.get("tags", []))
        facts["parent_id"] = facts.get("parent_id") or facts["domain_id"]
        try:
            return await self._all.projects.create(Project(**facts))
        except NotFound as error:
            raise Invalid(reason=f"Could not find {error.kind}: {error.key}.") from error

    async def change(self, key: str, body: Mapping[str, Any]) -> Project:
        """Change a project; where it is cannot be changed."""
        before = await self._all.projects.get(key)
        for name in _FIXED:
            if name in body and body[name] != {"is_domain": False}.get(name, getattr(before, name, None)):
                raise Invalid(reason=f"Update of `{name}` is not allowed.")
        check_tags(body.get("tags", []))
        changes = await self.changes(key, {name: value for name, value in body.items() if name not in _FIXED})
        return await self._all.projects.update(key, changes)


def _as_project(domain: Domain) -> View:
    return domain_view(domain) | {"domain_id": None, "parent_id": None, "is_domain": True}
