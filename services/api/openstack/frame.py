"""What every resource of the API stands on: the operations it calls, and how it reads and answers requests.

A resource module has one function `routes(api: Api) -> list[web.RouteDef]` whose paths start below the version and the
project (`/servers/{id}`); services/api/openstack/app.py lists the modules.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import web

from novaflow.clock import Clock
from novaflow.config import Config
from novaflow.models import Context
from novaflow.operations.actions import ActionOperations
from novaflow.operations.aggregates import AggregateOperations
from novaflow.operations.flavors import FlavorOperations
from novaflow.operations.floating_addresses import FloatingAddressOperations
from novaflow.operations.guest_passwords import GuestPasswordOperations
from novaflow.operations.hosts import HostOperations
from novaflow.operations.images import ImageOperations
from novaflow.operations.keypairs import KeyPairOperations
from novaflow.operations.quotas import QuotaOperations
from novaflow.operations.security_groups import SecurityGroupOperations
from novaflow.operations.server_actions import ServerActions
from novaflow.operations.server_boot import ServerBoot
from novaflow.operations.server_groups import ServerGroupOperations
from novaflow.operations.servers import ServerOperations
from novaflow.operations.services import ServiceOperations
from novaflow.operations.usage import UsageOperations
from novaflow.operations.volume_snapshots import VolumeSnapshotOperations
from novaflow.operations.volumes import VolumeOperations
from services.api.openstack.faults import HttpFault
from services.api.openstack.microversion import Version
from services.api.openstack.schema import Check, validate
from services.web import CONTEXT, json_response

# A body of no stated type is `application/octet-stream` to aiohttp, and JSON to Nova; so is `text/plain`.
_JSON_TYPES: Final = ("application/json", "text/plain", "application/octet-stream")

MICROVERSION: Final[web.RequestKey[Version]] = web.RequestKey("microversion", tuple)


@dataclass(frozen=True, kw_only=True)
class Api:
    """What the resources of the API call."""

    config: Config
    clock: Clock
    servers: ServerOperations
    boots: ServerBoot
    guest_passwords: GuestPasswordOperations
    server_actions: ServerActions
    actions: ActionOperations
    flavors: FlavorOperations
    keypairs: KeyPairOperations
    quotas: QuotaOperations
    hosts: HostOperations
    services: ServiceOperations
    usages: UsageOperations
    aggregates: AggregateOperations
    server_groups: ServerGroupOperations
    volumes: VolumeOperations
    volume_snapshots: VolumeSnapshotOperations
    security_groups: SecurityGroupOperations
    floating_addresses: FloatingAddressOperations
    images: ImageOperations


@dataclass(frozen=True)
class Links:
    """Where resources are found, in the form of the url that the client used."""

    versioned: str  # http://host:8774/v2.1 or http://host:8774/v2.1/<project>
    bookmark: str  # the same without the version

    def to(self, collection: str, key: str) -> list[dict[str, str]]:
        """The links of one resource, as Nova shows them."""
        return [
            {"rel": "self", "href": f"{self.versioned}/{collection}/{key}"},
            {"rel": "bookmark", "href": f"{self.bookmark}/{collection}/{key}"},
        ]

    def bookmark_to(self, collection: str, key: str) -> list[dict[str, str]]:
        """The one link of a resource that stands inside another: a server's flavor or image."""
        return [{"rel": "bookmark", "href": f"{self.bookmark}/{collection}/{key}"}]


def links(request: web.Request) -> Links:
    """The links that fit this request."""
    root = f"{request.scheme}://{request.host}"
    version = request.path.split("/", 2)[1]
    project = request.match_info.get("project_id")
    inside = f"/{project}" if project else ""
    return Links(f"{root}/{version}{inside}", f"{root}{inside}")


def context(request: web.Request) -> Context:
    """Who asks."""
    return request[CONTEXT]


def microversion(request: web.Request) -> Version:
    """The version this request speaks, e.g. (2, 37)."""
    return request[MICROVERSION]


def needs(request: web.Request, minimum: Version, before: Version | None = None) -> None:
    """Let requests pass that speak `minimum` or later and, if given, something older than `before`; others see a 404, as in Nova."""
    version = microversion(request)
    if version < minimum or (before is not None and version >= before):
        raise web.HTTPNotFound


async def read_body(request: web.Request, check: Check) -> dict[str, Any]:
    """The JSON object in the body, checked; raises HttpFault 400/415, Invalid naming the field, or aiohttp's 413."""
    return checked(await read_json(request), check)


def checked(body: dict[str, Any], check: Check) -> dict[str, Any]:
    """A body that was read already, checked."""
    found: dict[str, Any] = validate(body, check)
    return found


async def read_json(request: web.Request) -> dict[str, Any]:
    """The JSON object in the body, whatever it says."""
    if request.content_type not in _JSON_TYPES:
        raise HttpFault(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Unsupported Content-Type")
    raw = await request.read()
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # the last: nested too deeply
        raise HttpFault(HTTPStatus.BAD_REQUEST, "Malformed request body") from None
    if not isinstance(body, dict):
        raise HttpFault(HTTPStatus.BAD_REQUEST, "Malformed request body")
    return body


def reply(value: object, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> web.Response:
    """Answer with JSON."""
    return json_response(value, status, dict(headers) if headers else None)


def empty(status: int = HTTPStatus.NO_CONTENT) -> web.Response:
    """Answer without a body."""
    return web.Response(status=status)
