"""Host aggregates. Source: nova/api/openstack/compute/aggregates.py and its schema."""

from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from novaflow.errors import Invalid
from novaflow.hosts import Aggregate
from novaflow.operations.aggregates import ZONE
from services.api.openstack.faults import HttpFault
from services.api.openstack.frame import Api, checked, context, empty, microversion, read_body, read_json, reply
from services.api.openstack.microversion import Version
from services.api.openstack.schema import METADATA_KEY, Mismatch, mapping, name, optional, record, text
from services.api.openstack.times import microseconds

UUID: Final[Version] = (2, 41)
_FIELDS: Final = {"name": name(), ZONE: optional(name())}
_CREATE: Final = record({"aggregate": record(_FIELDS, required=("name",))}, required=("aggregate",))
_HOST: Final = record({"host": text(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9-._]*$")}, required=("host",))
_METADATA: Final = record(
    {"metadata": mapping(METADATA_KEY, optional(text(max_length=255)))},
    required=("metadata",),
)
_ACTIONS: Final = {"add_host": _HOST, "remove_host": _HOST, "set_metadata": _METADATA}


def routes(api: Api) -> list[web.RouteDef]:
    """`/os-aggregates`."""
    return [
        web.get("/os-aggregates", partial(_index, api)),
        web.post("/os-aggregates", partial(_create, api)),
        web.get("/os-aggregates/{id}", partial(_show, api)),
        web.put("/os-aggregates/{id}", partial(_update, api)),
        web.delete("/os-aggregates/{id}", partial(_delete, api)),
        web.post("/os-aggregates/{id}/action", partial(_act, api)),
    ]


async def _index(api: Api, request: web.Request) -> web.Response:
    found = await api.aggregates.list(context(request))
    return reply({"aggregates": [_view(aggregate, microversion(request)) for aggregate in found]})


async def _create(api: Api, request: web.Request) -> web.Response:
    given = (await read_body(request, _CREATE))["aggregate"]
    made = await api.aggregates.create(context(request), given["name"], given.get(ZONE))
    shown = _view(made, microversion(request))
    return reply({"aggregate": {key: value for key, value in shown.items() if key not in ("hosts", "metadata")}})


async def _show(api: Api, request: web.Request) -> web.Response:
    return _answer(request, await api.aggregates.get(context(request), _id(request)))


async def _update(api: Api, request: web.Request) -> web.Response:
    given = (await read_body(request, _UPDATE))["aggregate"]
    return _answer(request, await api.aggregates.update(context(request), _id(request), given))


async def _delete(api: Api, request: web.Request) -> web.Response:
    await api.aggregates.delete(context(request), _id(request))
    return empty(HTTPStatus.OK)


async def _act(api: Api, request: web.Request) -> web.Response:
    body = await read_json(request)
    action = next(iter(body), "")
    if len(body) != 1 or action not in _ACTIONS:
        raise HttpFault(HTTPStatus.BAD_REQUEST, f"There is no such action: {action[:64]}")
    given = checked(body, record({action: _ACTIONS[action]}))[action]
    who, aggregate_id = context(request), _id(request)
    if action == "add_host":
        return _answer(request, await api.aggregates.add_host(who, aggregate_id, given["host"]))
    if action == "remove_host":
        return _answer(request, await api.aggregates.remove_host(who, aggregate_id, given["host"]))
    return _answer(request, await api.aggregates.set_metadata(who, aggregate_id, given["metadata"]))


def _id(request: web.Request) -> int:
    given = request.match_info["id"]
    if not given.isascii() or not given.isdigit():
        raise Invalid(reason="Invalid input received: id must be an integer")
    return int(given[:18])


def _answer(request: web.Request, aggregate: Aggregate) -> web.Response:
    return reply({"aggregate": _view(aggregate, microversion(request))})


def _view(aggregate: Aggregate, version: Version) -> dict[str, Any]:
    zone = {ZONE: aggregate.availability_zone} if aggregate.availability_zone else {}
    return {
        "id": aggregate.id,
        **({"uuid": aggregate.uuid} if version >= UUID else {}),
        "name": aggregate.name,
        "hosts": list(aggregate.hosts),
        "metadata": {**aggregate.metadata, **zone},
        ZONE: aggregate.availability_zone,
        "created_at": microseconds(aggregate.created_at),
        "updated_at": microseconds(aggregate.updated_at),
        "deleted_at": None,
        "deleted": False,
    }


def _changes(value: object) -> Mapping[str, Any]:
    """A new name, a new zone or both."""
    given: dict[str, Any] = record(_FIELDS)(value)
    if not given:
        raise Mismatch(value, f"{value!r} is not valid under any of the given schemas")
    return given


_UPDATE: Final = record({"aggregate": _changes}, required=("aggregate",))
