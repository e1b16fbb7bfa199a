"""`POST /servers`: from the body to what is asked for, and the answer. Source: nova/api/openstack/compute/servers.py (create)."""

import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import web

from novaflow.config import Network
from novaflow.errors import Invalid
from novaflow.models import NETWORKS_HINT, NO_NETWORK, Hints, InjectedFile
from novaflow.operations.boot_drafts import BootRequest
from novaflow.operations.passwords import generate_password
from novaflow.placement.rules.query import parsed
from services.api.openstack.frame import Api, checked, context, links, microversion, read_json, reply
from services.api.openstack.microversion import Version
from services.api.openstack.schema import is_uuid
from services.api.openstack.server_devices import disks_of
from services.api.openstack.server_schemas import create_schema
from services.api.openstack.server_views import created
from services.web import SPAN

_UUID_HINTS: Final = ("group", "same_host", "different_host")
_NETWORKS: Final = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")


async def create(api: Api, request: web.Request) -> web.Response:
    """Record the servers, order their builds, answer 202."""
    version = microversion(request)
    body = checked(await read_json(request), create_schema(version))
    asked = boot_request(body, version, api.config.network)
    made = await api.boots.boot(context(request), asked)
    request[SPAN].attributes["server_id"] = made[0].id
    if body["server"].get("return_reservation_id"):
        return reply({"reservation_id": made[0].reservation_id}, HTTPStatus.ACCEPTED)
    here = links(request)
    shown = created(made[0], here, body["server"].get("security_groups"), asked.admin_password)
    return reply({"server": shown}, HTTPStatus.ACCEPTED, {"Location": f"{here.versioned}/servers/{made[0].id}"})


def boot_request(body: Mapping[str, Any], version: Version, network: Network) -> BootRequest:
    """What a checked body asks for; raises Invalid where its parts do not fit each other or this cloud."""
    server: Mapping[str, Any] = body["server"]
    image_id = image_id_of(server)
    _refuse_networks(server.get("networks"), network)
    zone, force_host = _placement(server.get("availability_zone") or "")
    min_count, max_count = _counts(server)
    name = server["name"]
    return BootRequest(
        name=name,
        flavor_id=last_part(str(server["flavorRef"])),
        image_id=image_id,
        admin_password=server.get("adminPass") or generate_password(),
        min_count=min_count,
        max_count=max_count,
        # Before 2.19 the description of a server was its name.
        description=server.get("description") if version >= (2, 19) else name,
        key_name=server.get("key_name"),
        metadata=server.get("metadata", {}),
        user_data=server.get("user_data", ""),
        files=tuple(
            InjectedFile(path=file["path"], contents=file["contents"]) for file in server.get("personality", ())
        ),
        has_config_drive=server.get("config_drive", False),
        availability_zone=zone,
        force_host=force_host,
        hints=_hints(body),
        access_ipv4=server.get("accessIPv4", ""),
        access_ipv6=server.get("accessIPv6", ""),
        disk_config=server.get("OS-DCF:diskConfig", "MANUAL"),
        disks=disks_of(server, image_id),
        security_groups=tuple(sorted({group["name"] for group in server.get("security_groups", ()) if group})),
    )


def network_id(network: Network) -> str:
    """The id of this cloud's one network; made of its name, so that it stays the same."""
    return str(uuid.uuid5(_NETWORKS, f"network:{network.name}"))


def image_id_of(server: Mapping[str, Any]) -> str:
    """The image that a body names, by its id or a link; raises Invalid for none."""
    given = server.get("imageRef", "")
    if not given:
        raise Invalid(reason="Missing imageRef attribute")
    image_id = last_part(given)
    if not is_uuid(image_id):
        raise Invalid(reason=f"Invalid input for field/attribute imageRef. Value: {given}. {given!r} is not a 'uuid'")
    return str(uuid.UUID(image_id))


def last_part(reference: str) -> str:
    """The id in a link, or the id itself."""
    return reference.split("?", 1)[0].rstrip("/").rsplit("/", 1)[-1]


def _refuse_networks(asked: str | list[Mapping[str, Any]] | None, network: Network) -> None:
    """There is one network, and a server gets one free address of it."""
    wanted: list[Mapping[str, Any]] = asked if isinstance(asked, list) else []
    for one in wanted:
        if one.get("port"):
            raise Invalid(reason=f"Port {one['port']} could not be found.")
        if "uuid" not in one:
            raise Invalid(reason="Bad network format: missing 'uuid'")
        if not is_uuid(one["uuid"]):
            raise Invalid(reason=f"Bad networks format: network uuid is not in proper format ({one['uuid']})")
        if str(uuid.UUID(one["uuid"])) != network_id(network):
            raise Invalid(reason=f"Network {one['uuid']} could not be found.")
        if "fixed_ip" in one:
            raise Invalid(
                reason=f"Fixed IP {one['fixed_ip']} cannot be chosen: network {network.name} gives a free one"
            )
    if len(wanted) > 1:
        raise Invalid(reason=f"Network {network_id(network)} was specified twice: a server has one address on it")


def _placement(zone: str) -> tuple[str, str]:
    """The zone and the host in `zone`, `zone:host`, `zone:host:node` and `zone::node`; a node is a host here."""
    parts = zone.split(":")
    if len(parts) > 3:
        raise Invalid(reason="Invalid input received: Unable to parse availability_zone")
    host = next((part for part in parts[1:] if part), "")
    return parts[0], host


def _counts(server: Mapping[str, Any]) -> tuple[int, int]:
    fewest = server.get("min_count", 1)
    most = server.get("max_count", fewest)
    if fewest > most:
        raise Invalid(reason="min_count must be <= max_count")
    return fewest, most


def _hints(body: Mapping[str, Any]) -> Hints:
    """Scheduler hints as texts and lists of texts; those that are more are kept as JSON. Raises Invalid for a query that cannot be held."""
    given = dict(body.get("os:scheduler_hints", body.get("OS-SCH-HNT:scheduler_hints", {})))
    if body["server"].get("networks") == NO_NETWORK:
        given[NETWORKS_HINT] = NO_NETWORK
    hints = {key: _hint(key, value) for key, value in given.items()}
    if isinstance(query := hints.get("query"), str):
        parsed(query)
    return hints


def _hint(key: str, value: object) -> str | tuple[str, ...]:
    if isinstance(value, list) and all(isinstance(one, str) for one in value) and key != "query":
        return tuple(_canonical(key, one) for one in value)
    return _canonical(key, value) if isinstance(value, str) else msgspec.json.encode(value).decode()


def _canonical(key: str, value: str) -> str:
    return str(uuid.UUID(value)) if key in _UUID_HINTS else value
