"""/v3/endpoints (keystone/api/endpoints.py)."""

from collections.abc import Mapping
from typing import Any, Final

from novaflow.errors import Invalid
from novaflow.identity.catalogue import INTERFACES, has_valid_places
from novaflow.identity.models import Endpoint
from services.identity.authority import Authority
from services.identity.bodies import Field, Fields
from services.identity.links import View
from services.identity.v3.resource import Resource
from services.identity.v3.views import endpoint_view

_FIELDS: Final[Fields] = {
    "interface": Field(required=True, choices=tuple(sorted(INTERFACES))),
    "service_id": Field(required=True),
    "url": Field(required=True, longest=225, pattern=r"^[a-zA-Z0-9+.-]+:.+"),
    "region_id": Field(nullable=True, longest=255),
    "region": Field(nullable=True, longest=255),
    "enabled": Field("boolean"),
}


def check_url(url: str) -> None:
    """Raises Invalid for a URL whose placeholders cannot be filled in."""
    if not has_valid_places(url):
        raise Invalid(reason=f"Cannot create an endpoint with an invalid URL: {url}.")


class Endpoints(Resource[Endpoint]):
    """The endpoints of the catalogue."""

    collection = "endpoints"
    member = "endpoint"
    filters = ("interface", "service_id", "region_id", "region", "enabled")
    fields = _FIELDS
    has_text = False

    def __init__(self, authority: Authority) -> None:
        self._endpoints = authority.records.endpoints
        super().__init__(self._endpoints)

    def view(self, record: Endpoint) -> View:
        """An endpoint as v3 shows it."""
        return endpoint_view(record)

    async def make(self, body: Mapping[str, Any]) -> Endpoint:
        """Store a new endpoint; a `region` under the old name is made if it is not there."""
        check_url(body["url"])
        facts, is_old = _with_region(self.facts(body))
        endpoint = Endpoint(**facts)
        await self._endpoints.create(endpoint, makes_region=is_old)
        return endpoint

    async def change(self, key: str, body: Mapping[str, Any]) -> Endpoint:
        """Change an endpoint."""
        if "url" in body:
            check_url(body["url"])
        changes, is_old = _with_region(await self.changes(key, body))
        return await self._endpoints.update(key, changes, makes_region=is_old)


def _with_region(facts: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """The region as `region_id`, and whether it came as `region`."""
    old = facts.pop("region", None)
    is_old = old is not None and facts.get("region_id") is None
    return (facts | {"region_id": old} if is_old else facts), is_old
