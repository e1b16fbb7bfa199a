"""`/servers/{id}/os-volume_attachments`: which volumes a server has. Source: nova/api/openstack/compute/volume_attachments.py."""

from functools import partial
from http import HTTPStatus
from typing import Final

from aiohttp import web

from services.api.openstack.frame import Api, context, empty, read_body, reply
from services.api.openstack.paging import window
from services.api.openstack.schema import identifier, optional, record, text
from services.api.openstack.volumes import attachment
from services.web import SPAN

_FIELDS: Final = record({"volumeId": identifier, "device": optional(text(max_length=255))}, required=("volumeId",))
_CREATE: Final = record({"volumeAttachment": _FIELDS}, required=("volumeAttachment",))


def routes(api: Api) -> list[web.RouteDef]:
    """The collection, and one by the volume's id. A volume cannot be swapped for another."""
    return [
        web.get("/servers/{id}/os-volume_attachments", partial(_list, api)),
        web.post("/servers/{id}/os-volume_attachments", partial(_create, api)),
        web.get("/servers/{id}/os-volume_attachments/{volume_id}", partial(_show, api)),
        web.delete("/servers/{id}/os-volume_attachments/{volume_id}", partial(_delete, api)),
    ]


async def _list(api: Api, request: web.Request) -> web.Response:
    found = await api.volumes.of_server(context(request), _server_id(request))
    shown = [attachment(volume) for volume in found[window(request, api.config.api.max_limit)]]
    return reply({"volumeAttachments": shown})


async def _create(api: Api, request: web.Request) -> web.Response:
    given = (await read_body(request, _CREATE))["volumeAttachment"]
    volume = await api.volumes.attach(context(request), _server_id(request), given["volumeId"], given.get("device"))
    return reply({"volumeAttachment": attachment(volume)})


async def _show(api: Api, request: web.Request) -> web.Response:
    volume_id = request.match_info["volume_id"]
    found = await api.volumes.attachment(context(request), _server_id(request), volume_id)
    return reply({"volumeAttachment": attachment(found)})


async def _delete(api: Api, request: web.Request) -> web.Response:
    await api.volumes.detach(context(request), _server_id(request), request.match_info["volume_id"])
    return empty(HTTPStatus.ACCEPTED)


def _server_id(request: web.Request) -> str:
    request[SPAN].attributes["server_id"] = request.match_info["id"]
    server_id: str = request.match_info["id"]
    return server_id
