"""/v2.0/endpoints: three URLs are one endpoint here (keystone/catalog/controllers.py of Pike)."""

import uuid
from collections.abc import Iterable
from typing import Final

from aiohttp import web

from novaflow.errors import Invalid, NotFound
from novaflow.identity.catalogue import INTERFACES
from novaflow.identity.models import Endpoint
from services.identity.authority import Authority
from services.identity.bodies import Field, Fields, check, missing, read_member
from services.identity.links import View
from services.identity.v2.views import require_admin
from services.identity.v3.endpoints import check_url
from services.web import json_response

_FIELDS: Final[Fields] = {
    "service_id": Field(),
    "region": Field(nullable=True, longest=255),
    **{f"{interface}url": Field(nullable=True) for interface in INTERFACES},
}


class Endpoints:
    """The endpoints, grouped by what made them one: the request, or the service and region."""

    def __init__(self, authority: Authority) -> None:
        self._endpoints = authority.records.endpoints

    def routes(self) -> Iterable[web.RouteDef]:
        """What this resource answers to."""
        return (
            web.get("/v2.0/endpoints", self.index),
            web.post("/v2.0/endpoints", self.create),
            web.delete("/v2.0/endpoints/{id}", self.delete),
        )

    async def index(self, request: web.Request) -> web.Response:
        """Every endpoint with a public URL."""
        require_admin(request)
        groups = _grouped(await self._endpoints.all())
        return json_response({"endpoints": [_view(key, members) for key, members in groups.items()]})

    async def create(self, request: web.Request) -> web.Response:
        """A new endpoint with up to three URLs."""
        require_admin(request)
        body = await read_member(request, "endpoint")
        check(body, _FIELDS, is_new=False)
        for name in ("publicurl", "service_id"):
            if not body.get(name):
                raise missing(name, "endpoint")
        legacy_id = uuid.uuid4().hex
        made = [
            Endpoint(
                id=uuid.uuid4().hex,
                service_id=body["service_id"],
                interface=interface,
                url=body[f"{interface}url"],
                region_id=body.get("region"),
                legacy_endpoint_id=legacy_id,
            )
            for interface in INTERFACES
            if body.get(f"{interface}url")
        ]
        for endpoint in made:
            check_url(endpoint.url)
        try:
            await self._endpoints.create(*made, makes_region=True)
        except Invalid as error:
            raise NotFound(kind="service", key=body["service_id"]) from error
        return json_response({"endpoint": _view(legacy_id, made)})

    async def delete(self, request: web.Request) -> web.Response:
        """Delete an endpoint with all its URLs."""
        require_admin(request)
        key = request.match_info["id"]
        members = _grouped(await self._endpoints.all()).get(key)
        if not members:
            raise NotFound(kind="endpoint", key=key)
        await self._endpoints.delete(*(endpoint.id for endpoint in members))
        return web.Response(status=204)


def _grouped(endpoints: Iterable[Endpoint]) -> dict[str, list[Endpoint]]:
    """Endpoints by the id v2.0 gives them: the request's, or that of the public one of a service in a region."""
    groups: dict[tuple[str | None, ...], list[Endpoint]] = {}
    for endpoint in endpoints:
        key = (
            (endpoint.legacy_endpoint_id,) if endpoint.legacy_endpoint_id else (endpoint.service_id, endpoint.region_id)
        )
        groups.setdefault(key, []).append(endpoint)
    found: dict[str, list[Endpoint]] = {}
    for members in groups.values():
        public = [endpoint for endpoint in members if endpoint.interface == "public"]
        if public:
            found[public[0].legacy_endpoint_id or public[0].id] = members
    return found


def _view(key: str, members: Iterable[Endpoint]) -> View:
    view: View = {"id": key}
    for endpoint in members:
        view |= {
            "service_id": endpoint.service_id,
            "region": endpoint.region_id,
            "enabled": endpoint.enabled,
            f"{endpoint.interface}url": endpoint.url,
        }
    return view
