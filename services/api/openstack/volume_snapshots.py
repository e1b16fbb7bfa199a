"""`/os-snapshots`, until 2.36: snapshots of volumes. Source: nova/api/openstack/compute/volumes.py (SnapshotController)."""

from functools import partial
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from novaflow.volumes import VolumeSnapshot
from services.api.openstack.frame import Api, context, empty, needs, read_body, reply
from services.api.openstack.microversion import MIN
from services.api.openstack.paging import window
from services.api.openstack.schema import boolean, record, text
from services.api.openstack.volumes import GONE, TITLES, asks_for_all, shown, titles

_FIELDS: Final = record(
    {
        "volume_id": text(min_length=1, max_length=255),
        **TITLES,
        "force": boolean,
    },
    required=("volume_id",),
)
_CREATE: Final = record({"snapshot": _FIELDS}, required=("snapshot",))


def routes(api: Api) -> list[web.RouteDef]:
    """The collection, with and without details, and one snapshot."""
    return [
        web.get("/os-snapshots", partial(_list, api)),
        web.get("/os-snapshots/detail", partial(_list, api)),
        web.post("/os-snapshots", partial(_create, api)),
        web.get("/os-snapshots/{id}", partial(_show, api)),
        web.delete("/os-snapshots/{id}", partial(_delete, api)),
    ]


async def _list(api: Api, request: web.Request) -> web.Response:
    needs(request, MIN, GONE)
    found = await api.volume_snapshots.list(context(request), all_projects=asks_for_all(request))
    return reply({"snapshots": [_shown(snapshot) for snapshot in found[window(request, api.config.api.max_limit)]]})


async def _create(api: Api, request: web.Request) -> web.Response:
    needs(request, MIN, GONE)
    given = (await read_body(request, _CREATE))["snapshot"]
    made = await api.volume_snapshots.create(
        context(request),
        given["volume_id"],
        **titles(given),
        may_be_in_use=given.get("force", False),
    )
    return reply({"snapshot": _shown(made)})


async def _show(api: Api, request: web.Request) -> web.Response:
    needs(request, MIN, GONE)
    return reply({"snapshot": _shown(await api.volume_snapshots.get(context(request), request.match_info["id"]))})


async def _delete(api: Api, request: web.Request) -> web.Response:
    needs(request, MIN, GONE)
    await api.volume_snapshots.delete(context(request), request.match_info["id"])
    return empty(HTTPStatus.ACCEPTED)


def _shown(snapshot: VolumeSnapshot) -> dict[str, Any]:
    return {**shown(snapshot), "volumeId": snapshot.volume_id}
