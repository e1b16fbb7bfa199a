"""/v3/regions (keystone/api/regions.py)."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from aiohttp import web

from novaflow.errors import Invalid
from novaflow.identity.models import Region
from services.identity.access import require_admin
from services.identity.authority import Authority
from services.identity.bodies import Field, Fields, check, read_member
from services.identity.links import View
from services.identity.v3.resource import Resource
from services.identity.v3.views import region_view
from services.web import json_response

_FIELDS: Final[Fields] = {
    "id": Field(nullable=True, longest=255),
    "description": Field(nullable=True),
    "parent_region_id": Field(nullable=True, longest=255),
}


class Regions(Resource[Region]):
    """The regions. Everyone may see them; their ids are what clients call them."""

    collection = "regions"
    member = "region"
    filters = ("parent_region_id",)
    fields = _FIELDS

    def __init__(self, authority: Authority) -> None:
        self._regions = authority.records.regions
        super().__init__(self._regions)

    def routes(self) -> Iterable[web.RouteDef]:
        """The collection and its members, which may be made under their own address."""
        yield from super().routes()
        yield web.put("/v3/regions/{id}", self.create_as)

    def check_index(self, request: web.Request) -> None:
        """Regions are no secret."""

    def check_show(self, request: web.Request, key: str) -> None:
        """Regions are no secret."""

    async def create_as(self, request: web.Request) -> web.Response:
        """A new region with the id of the address."""
        require_admin(request, "create_region")
        key = request.match_info["id"]
        body = await read_member(request, self.member)
        check(body, self.fields, is_new=True)
        if (body.get("id") or key) != key:
            raise Invalid(reason=f'Conflicting region IDs specified: "{key}" != "{body["id"]}"')
        record = await self.make(body | {"id": key})
        return json_response({self.member: self.linked(request, record)}, 201)

    def view(self, record: Region) -> View:
        """A region as v3 shows it."""
        return region_view(record)

    async def make(self, body: Mapping[str, Any]) -> Region:
        """Store a new region, with an id of its own if the client gives none."""
        facts = self.facts({name: value for name, value in body.items() if name != "id"})
        return await self._regions.create(Region(**facts | ({"id": body["id"]} if body.get("id") else {})))

    async def change(self, key: str, body: Mapping[str, Any]) -> Region:
        """Change a region; its id stays."""
        changes = await self.changes(key, body)
        changes.pop("id", None)
        return await self._regions.update(key, changes)
