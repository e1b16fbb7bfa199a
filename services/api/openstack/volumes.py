"""`/os-volumes`, until 2.36: Icehouse's door to volumes. Source: nova/api/openstack/compute/volumes.py."""

from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, Final, TypedDict

from aiohttp import web

from novaflow.volumes import ATTACHED, MOST_GB, Volume, VolumeSnapshot
from services.api.openstack.frame import Api, context, empty, needs, read_body, reply
from services.api.openstack.microversion import MIN, Version
from services.api.openstack.paging import window
from services.api.openstack.schema import Check, anything, integer, mapping, optional, record, text
from services.api.openstack.times import microseconds

GONE: Final[Version] = (2, 36)
METADATA: Final = mapping(r"^[a-zA-Z0-9\-_:. ]{1,255}$", text(max_length=255))
_NAME: Final = text(max_length=255)
# How volumes and snapshots are called.
TITLES: Final[dict[str, Check]] = {
    "display_name": optional(_NAME),
    "display_description": optional(text(max_length=65535)),
}
_FIELDS: Final[dict[str, Check]] = {
    **TITLES,
    "size": optional(integer(1, MOST_GB)),
    "availability_zone": optional(_NAME),
    "snapshot_id": optional(text(max_length=255)),
    "metadata": optional(METADATA),
    "volume_type": anything,  # there is one
}
_CREATE: Final = record({"volume": record(_FIELDS)}, required=("volume",))


def routes(api: Api) -> list[web.RouteDef]:
    """The collection, with and without details, and one volume."""
    return [
        web.get("/os-volumes", partial(_list, api)),
        web.get("/os-volumes/detail", partial(_list, api)),
        web.post("/os-volumes", partial(_create, api)),
        web.get("/os-volumes/{id}", partial(_show, api)),
        web.delete("/os-volumes/{id}", partial(_delete, api)),
    ]


async def _list(api: Api, request: web.Request) -> web.Response:
    needs(request, MIN, GONE)
    found = await api.volumes.list(context(request), all_projects=asks_for_all(request))
    return reply({"volumes": [_shown(volume) for volume in found[window(request, api.config.api.max_limit)]]})


async def _create(api: Api, request: web.Request) -> web.Response:
    needs(request, MIN, GONE)
    given = (await read_body(request, _CREATE))["volume"]
    made = await api.volumes.create(
        context(request),
        size_gb=given.get("size"),
        snapshot_id=given.get("snapshot_id"),
        **titles(given),
        availability_zone=given.get("availability_zone"),
        metadata=given.get("metadata"),
    )
    here = f"{request.scheme}://{request.host}{request.path.rstrip('/')}/{made.id}"
    return reply({"volume": _shown(made)}, headers={"Location": here})


async def _show(api: Api, request: web.Request) -> web.Response:
    needs(request, MIN, GONE)
    return reply({"volume": _shown(await api.volumes.get(context(request), request.match_info["id"]))})


async def _delete(api: Api, request: web.Request) -> web.Response:
    needs(request, MIN, GONE)
    await api.volumes.delete(context(request), request.match_info["id"])
    return empty(HTTPStatus.ACCEPTED)


def asks_for_all(request: web.Request) -> bool:
    """Whether an administrator wants every project's."""
    return request.query.get("all_tenants", "0").lower() in ("1", "true", "")


class Titles(TypedDict):
    """How a volume or a snapshot shall be called."""

    name: str
    description: str


def titles(given: Mapping[str, Any]) -> Titles:
    """What the values of TITLES mean."""
    return Titles(name=given.get("display_name") or "", description=given.get("display_description") or "")


def shown(one: Volume | VolumeSnapshot) -> dict[str, Any]:
    """What a volume and a snapshot are shown with alike."""
    return {
        "id": one.id,
        "status": one.status,
        "size": one.size_gb,
        "createdAt": microseconds(one.created_at),
        "displayName": one.name,
        "displayDescription": one.description,
    }


def attachment(volume: Volume) -> dict[str, Any]:
    """Whose disk a volume is; its id is the volume's."""
    return {
        "id": volume.id,
        "volumeId": volume.id,
        "serverId": volume.server_id,
        "device": f"/dev/{volume.device}" if volume.device else None,
    }


def _shown(volume: Volume) -> dict[str, Any]:
    return {
        **shown(volume),
        "availabilityZone": volume.availability_zone,
        "attachments": [attachment(volume) if volume.status in ATTACHED else {}],
        "volumeType": None,
        "snapshotId": volume.snapshot_id,
        "metadata": volume.metadata,
    }
