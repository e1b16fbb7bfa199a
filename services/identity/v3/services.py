"""/v3/services (keystone/api/services.py)."""

from collections.abc import Mapping
from typing import Any, Final

from novaflow.identity.models import Service
from services.identity.authority import Authority
from services.identity.bodies import Field, Fields
from services.identity.links import View
from services.identity.v3.resource import Resource
from services.identity.v3.views import service_view

_FIELDS: Final[Fields] = {
    "type": Field(required=True, shortest=1, longest=255),
    "name": Field(nullable=True, longest=255),
    "description": Field(nullable=True),
    "enabled": Field("boolean"),
}


class Services(Resource[Service]):
    """The services of the catalogue."""

    collection = "services"
    member = "service"
    filters = ("name", "type")
    fields = _FIELDS
    has_text = False

    def __init__(self, authority: Authority) -> None:
        self._services = authority.records.services
        super().__init__(self._services)

    def view(self, record: Service) -> View:
        """A service as v3 shows it."""
        return service_view(record)

    async def make(self, body: Mapping[str, Any]) -> Service:
        """Store a new service."""
        return await self._services.create(Service(**self.facts(body)))

    async def change(self, key: str, body: Mapping[str, Any]) -> Service:
        """Change a service."""
        return await self._services.update(key, await self.changes(key, body))
