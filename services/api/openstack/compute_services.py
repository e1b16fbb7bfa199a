"""The cloud's processes. Source: nova/api/openstack/compute/services.py and its schema."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from novaflow.errors import Invalid
from novaflow.hosts import ServiceRecord
from services.api.openstack.faults import HttpFault
from services.api.openstack.frame import Api, context, empty, microversion, read_body, reply
from services.api.openstack.microversion import Version
from services.api.openstack.schema import Check, boolean, record, text
from services.api.openstack.times import microseconds

FORCED_DOWN: Final[Version] = (2, 11)


def routes(api: Api) -> list[web.RouteDef]:
    """`/os-services`."""

    async def index(request: web.Request) -> web.Response:
        query = request.query
        found = await api.services.list(context(request), host=query.get("host", ""), binary=query.get("binary", ""))
        return reply({"services": [_view(service, microversion(request)) for service in found]})

    async def update(request: web.Request) -> web.Response:
        version = microversion(request)
        given = await read_body(request, _BODY_WITH_FORCED_DOWN if version >= FORCED_DOWN else _BODY)
        action = request.match_info["action"]
        if action == "force-down" and version >= FORCED_DOWN:
            return reply({"service": await _force_down(api, request, given)})
        if action not in _STATUS_AFTER:
            raise HttpFault(HTTPStatus.NOT_FOUND, "Unknown action")
        return reply({"service": await _set_status(api, request, action, given)})

    async def delete(request: web.Request) -> web.Response:
        service_id = request.match_info["id"]
        if not service_id.isascii() or not service_id.isdigit():
            raise Invalid(reason="id must be an integer")
        await api.services.delete(context(request), int(service_id[:18]))
        return empty()

    return [
        web.get("/os-services", index),
        web.put("/os-services/{action}", update),
        web.delete("/os-services/{id}", delete),
    ]


async def _set_status(api: Api, request: web.Request, action: str, given: Mapping[str, Any]) -> dict[str, Any]:
    host, binary, reason = given["host"], given["binary"], None
    if action == "enable":
        await api.services.enable(context(request), host=host, binary=binary)
    else:
        if action == "disable-log-reason":
            reason = given.get("disabled_reason")
            if reason is None:
                raise Invalid(reason="Missing disabled reason field")
        await api.services.disable(context(request), host=host, binary=binary, reason=reason)
    shown = {"host": host, "binary": binary, "status": _STATUS_AFTER[action]}
    return {**shown, "disabled_reason": reason} if reason else shown


async def _force_down(api: Api, request: web.Request, given: Mapping[str, Any]) -> dict[str, Any]:
    if "forced_down" not in given:
        raise Invalid(reason="Missing forced_down field")
    host, binary, is_forced_down = given["host"], given["binary"], given["forced_down"]
    await api.services.force_down(context(request), host=host, binary=binary, is_forced_down=is_forced_down)
    return {"host": host, "binary": binary, "forced_down": is_forced_down}


def _view(service: ServiceRecord, version: Version) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": service.id,
        "binary": service.binary,
        "host": service.host,
        "zone": service.zone,
        "status": "enabled" if service.is_enabled else "disabled",
        "state": "up" if service.is_up else "down",
        "updated_at": microseconds(service.updated_at),
        "disabled_reason": service.disabled_reason,
    }
    if version >= FORCED_DOWN:
        shown["forced_down"] = service.is_forced_down
    return shown


_STATUS_AFTER: Final = {"enable": "enabled", "disable": "disabled", "disable-log-reason": "disabled"}
_FIELDS: Final[dict[str, Check]] = {
    "host": text(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9-._]*$"),
    "binary": text(min_length=1, max_length=255),
    "disabled_reason": text(min_length=1, max_length=255),
}
_BODY: Final = record(_FIELDS, required=("host", "binary"))
_BODY_WITH_FORCED_DOWN: Final = record({**_FIELDS, "forced_down": boolean}, required=("host", "binary"))
