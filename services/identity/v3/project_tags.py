"""/v3/projects/{id}/tags, and the tag filters of the list of projects (keystone/api/projects.py)."""

from collections.abc import Iterable
from typing import Final

from aiohttp import web

from novaflow.errors import Invalid, NotFound
from novaflow.identity.models import Project
from services.identity.access import claims_of, require_admin, require_admin_or
from services.identity.authority import Authority
from services.identity.bodies import Field, check, read_object
from services.identity.links import base_url
from services.web import json_response

_TAGS: Final = {"tags": Field("array", required=True)}
_TAG: Final = {"tags": Field(shortest=1, longest=255, pattern="^[^,/]*$")}
_MOST_TAGS: Final = 80


class ProjectTags:
    """The tags of a project."""

    def __init__(self, authority: Authority) -> None:
        self._projects = authority.records.projects

    def routes(self) -> Iterable[web.RouteDef]:
        """All tags at once, and one by one."""
        tags = "/v3/projects/{id}/tags"
        return (
            web.get(tags, self.index),
            web.put(tags, self.replace),
            web.delete(tags, self.clear),
            web.get(f"{tags}/{{tag}}", self.check),
            web.put(f"{tags}/{{tag}}", self.add),
            web.delete(f"{tags}/{{tag}}", self.remove),
        )

    async def index(self, request: web.Request) -> web.Response:
        """The tags."""
        _check_own(request, "list_project_tags")
        return _show(request, await self._projects.get(request.match_info["id"]))

    async def replace(self, request: web.Request) -> web.Response:
        """Other tags."""
        require_admin(request, "update_project_tags")
        body = await read_object(request)
        check(body, _TAGS, is_new=True)
        return _show(request, await self._store(request.match_info["id"], body["tags"]))

    async def clear(self, request: web.Request) -> web.Response:
        """No tags any more."""
        require_admin(request, "delete_project_tags")
        await self._store(request.match_info["id"], [])
        return web.Response(status=204)

    async def check(self, request: web.Request) -> web.Response:
        """Whether a project has a tag."""
        _check_own(request, "get_project_tag")
        await self._with_tag(request)
        return web.Response(status=204)

    async def add(self, request: web.Request) -> web.Response:
        """One tag more."""
        require_admin(request, "create_project_tag")
        project = await self._projects.get(request.match_info["id"])
        await self._store(project.id, [*project.tags, request.match_info["tag"]])
        return web.Response(status=201, headers={"Location": f"{base_url(request)}{request.rel_url}"})

    async def remove(self, request: web.Request) -> web.Response:
        """One tag less."""
        require_admin(request, "delete_project_tag")
        project = await self._with_tag(request)
        await self._store(project.id, [tag for tag in project.tags if tag != request.match_info["tag"]])
        return web.Response(status=204)

    async def _with_tag(self, request: web.Request) -> Project:
        project = await self._projects.get(request.match_info["id"])
        if request.match_info["tag"] not in project.tags:
            raise NotFound(kind="project tag", key=request.match_info["tag"])
        return project

    async def _store(self, key: str, tags: list[str]) -> Project:
        check_tags(tags)
        return await self._projects.update(key, {"tags": list(dict.fromkeys(tags))})


def check_tags(tags: list[str]) -> None:
    """Raises Invalid for a tag with a comma or slash, one too long, or too many of them."""
    for tag in tags:
        check({"tags": tag}, _TAG, is_new=False)
    if len(tags) > _MOST_TAGS:
        raise Invalid(reason=f"Invalid input for field/attribute tags. There are more than {_MOST_TAGS}.")


def has_tags(request: web.Request, tags: set[str]) -> bool:
    """Whether a project's tags answer to a query's: the four filters of the API working group."""
    asked = {
        name: set(request.query[name].split(","))
        for name in ("tags", "tags-any", "not-tags", "not-tags-any")
        if name in request.query
    }
    return (
        asked.get("tags", set()) <= tags
        and ("tags-any" not in asked or bool(asked["tags-any"] & tags))
        and ("not-tags" not in asked or not asked["not-tags"] <= tags)
        and not asked.get("not-tags-any", set()) & tags
    )


def _check_own(request: web.Request, rule: str) -> None:
    project = claims_of(request).project
    require_admin_or(request, rule, is_own=project is not None and project.id == request.match_info["id"])


def _show(request: web.Request, project: Project) -> web.Response:
    return json_response({"tags": project.tags, "links": {"self": f"{base_url(request)}{request.rel_url}"}})
