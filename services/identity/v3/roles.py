"""/v3/roles and what they imply (keystone/api/roles.py)."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from aiohttp import web

from novaflow.errors import Invalid, NotFound
from novaflow.identity.models import Role
from services.identity.access import require_admin
from services.identity.authority import Authority
from services.identity.bodies import Field, Fields, named
from services.identity.links import View, base_url
from services.identity.v3.resource import Resource
from services.identity.v3.views import role_view
from services.web import json_response

_FIELDS: Final[Fields] = {
    "name": named(255),
    "domain_id": Field(nullable=True, shortest=1, longest=64),
    "description": Field(nullable=True),
    "options": Field("object"),
}


class Roles(Resource[Role]):
    """The roles: the global ones, or with domain_id those of a domain."""

    collection = "roles"
    member = "role"
    filters = ("name",)
    fields = _FIELDS
    has_text = False

    def __init__(self, authority: Authority) -> None:
        self._roles = authority.records.roles
        self._authority = authority
        super().__init__(self._roles)

    def routes(self) -> Iterable[web.RouteDef]:
        """The collection, its members and what they imply."""
        implied = "/v3/roles/{id}/implies/{implied_id}"
        yield from super().routes()
        yield web.get("/v3/roles/{id}/implies", self.implied)
        yield web.put(implied, self.imply)
        yield web.get(implied, self.implies)
        yield web.delete(implied, self.imply_no_more)
        yield web.get("/v3/role_inferences", self.inferences)

    def view(self, record: Role) -> View:
        """A role as v3 shows it."""
        return role_view(record)

    async def find(self, request: web.Request) -> Iterable[Role]:
        """Roles of one name space only."""
        return await self._roles.all(domain_id=request.query.get("domain_id", ""))

    async def make(self, body: Mapping[str, Any]) -> Role:
        """Store a new role."""
        facts = self.facts(body)
        if facts.get("domain_id"):
            await self._authority.records.domains.get(facts["domain_id"])
        return await self._roles.create(Role(**facts | {"domain_id": facts.get("domain_id") or ""}))

    async def change(self, key: str, body: Mapping[str, Any]) -> Role:
        """Change a role; its domain stays."""
        changes = await self.changes(key, body)
        if (changes.pop("domain_id", None) or "") != (await self._roles.get(key)).domain_id and "domain_id" in body:
            raise Invalid(reason="Update of `domain_id` is not allowed.")
        return await self._roles.update(key, changes)

    async def implied(self, request: web.Request) -> web.Response:
        """What a role implies."""
        require_admin(request, "list_implied_roles")
        prior = await self._roles.get(request.match_info["id"])
        return json_response(
            {
                "role_inference": await self._inference(request, prior),
                "links": {"self": f"{base_url(request)}{request.rel_url}"},
            }
        )

    async def inferences(self, request: web.Request) -> web.Response:
        """What every role implies."""
        require_admin(request, "list_role_inference_rules")
        found = [await self._inference(request, role) for role in await self._roles.all(domain_id="")]
        return json_response(
            {
                "role_inferences": [inference for inference in found if inference["implies"]],
                "links": {"self": f"{base_url(request)}{request.rel_url}"},
            }
        )

    async def imply(self, request: web.Request) -> web.Response:
        """Let a role imply another one."""
        require_admin(request, "create_implied_role")
        await self._roles.imply(request.match_info["id"], request.match_info["implied_id"])
        return await self._pair(request, 201)

    async def implies(self, request: web.Request) -> web.Response:
        """Whether a role implies another one."""
        require_admin(request, "get_implied_role")
        return await self._pair(request, 200)

    async def imply_no_more(self, request: web.Request) -> web.Response:
        """Undo an implication."""
        require_admin(request, "delete_implied_role")
        await self._roles.imply_no_more(request.match_info["id"], request.match_info["implied_id"])
        return web.Response(status=204)

    async def _pair(self, request: web.Request, status: int) -> web.Response:
        prior_id, implied_id = request.match_info["id"], request.match_info["implied_id"]
        inference = await self._inference(request, await self._roles.get(prior_id))
        implied = next((role for role in inference["implies"] if role["id"] == implied_id), None)
        if implied is None:
            raise NotFound(kind="implied role", key=f"{prior_id}/{implied_id}")
        links = {"self": f"{base_url(request)}{request.rel_url}"}
        return json_response({"role_inference": inference | {"implies": implied}, "links": links}, status)

    async def _inference(self, request: web.Request, prior: Role) -> View:
        implied = await self._roles.implied_by(prior.id)
        return {
            "prior_role": self._short(request, prior),
            "implies": [self._short(request, role) for role in implied],
        }

    def _short(self, request: web.Request, role: Role) -> View:
        view = self.linked(request, role)
        return {name: view[name] for name in ("id", "name", "links")}
