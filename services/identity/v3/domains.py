"""/v3/domains (keystone/api/domains.py)."""

import re
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from novaflow.errors import Invalid
from novaflow.identity.models import Domain
from services.identity.access import claims_of, require_admin_or
from services.identity.authority import Authority
from services.identity.bodies import Field, Fields, named
from services.identity.links import View
from services.identity.v3.resource import Resource
from services.identity.v3.views import domain_view

_UUID_HEX: Final = re.compile(r"[0-9a-f]{32}")
_FIELDS: Final[Fields] = {
    "name": named(64),
    "description": Field(nullable=True),
    "enabled": Field("boolean"),
    "tags": Field("array"),
    "options": Field("object"),
}


class Domains(Resource[Domain]):
    """The domains."""

    collection = "domains"
    member = "domain"
    filters = ("name", "enabled")
    fields = _FIELDS

    def __init__(self, authority: Authority) -> None:
        self._domains = authority.records.domains
        super().__init__(self._domains)

    def check_show(self, request: web.Request, key: str) -> None:
        """A domain is seen by administrators and by those who work in it."""
        claims = claims_of(request)
        places = (claims.domain, claims.project.domain if claims.project else None)
        require_admin_or(request, "get_domain", is_own=any(place is not None and place.id == key for place in places))

    def view(self, record: Domain) -> View:
        """A domain as v3 shows it."""
        return domain_view(record)

    async def make(self, body: Mapping[str, Any]) -> Domain:
        """Store a new domain, with the id that the client wants if it is of the right form."""
        wanted = body.get("explicit_domain_id")
        if wanted is not None and not (isinstance(wanted, str) and _UUID_HEX.fullmatch(wanted)):
            raise Invalid(reason="Domain ID does not conform to required UUID format.")
        facts = self.facts({name: value for name, value in body.items() if name != "explicit_domain_id"})
        if wanted is None:
            return await self._domains.create(Domain(**facts))
        return await self._domains.create(Domain(**facts | {"id": wanted}), is_id_chosen=True)

    async def change(self, key: str, body: Mapping[str, Any]) -> Domain:
        """Change a domain."""
        return await self._domains.update(key, await self.changes(key, body))
