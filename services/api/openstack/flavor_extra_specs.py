"""A flavor's properties. Source: nova/api/openstack/compute/flavors_extraspecs.py and its schema."""

from typing import Any, Final

from aiohttp import web

from novaflow.errors import Invalid
from services.api.openstack.frame import Api, context, empty, read_body, reply
from services.api.openstack.schema import Mismatch, mapping, record

_LONGEST: Final = 255


def routes(api: Api) -> list[web.RouteDef]:
    """`/flavors/{id}/os-extra_specs`."""

    async def index(request: web.Request) -> web.Response:
        flavor = await api.flavors.get(context(request), request.match_info["id"])
        return reply({"extra_specs": flavor.extra_specs})

    async def create(request: web.Request) -> web.Response:
        body = await read_body(request, _CREATE)
        await api.flavors.set_extra_specs(context(request), request.match_info["id"], body["extra_specs"])
        return reply(body)

    async def show(request: web.Request) -> web.Response:
        key = request.match_info["key"]
        return reply({key: await api.flavors.extra_spec(context(request), request.match_info["id"], key)})

    async def update(request: web.Request) -> web.Response:
        body = await read_body(request, _UPDATE)
        if request.match_info["key"] not in body:
            raise Invalid(reason="Request body and URI mismatch")
        await api.flavors.set_extra_specs(context(request), request.match_info["id"], body, action="update")
        return reply(body)

    async def delete(request: web.Request) -> web.Response:
        await api.flavors.delete_extra_spec(context(request), request.match_info["id"], request.match_info["key"])
        return empty(200)

    return [
        web.get("/flavors/{id}/os-extra_specs", index),
        web.post("/flavors/{id}/os-extra_specs", create),
        web.get("/flavors/{id}/os-extra_specs/{key}", show),
        web.put("/flavors/{id}/os-extra_specs/{key}", update),
        web.delete("/flavors/{id}/os-extra_specs/{key}", delete),
    ]


def _value(value: object) -> str:
    """A short string; a number is taken as one."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Mismatch(value, f"{value!r} is not of type 'string', 'number'")
    text = str(value)
    if len(text) > _LONGEST:
        raise Mismatch(value, f"{text!r} is too long")
    return text


def _specs(*, min_items: int = 0, max_items: int | None = None) -> Any:
    return mapping(r"^[a-zA-Z0-9-_:. ]{1,255}$", _value, min_items=min_items, max_items=max_items)


_CREATE: Final = record({"extra_specs": _specs()}, required=("extra_specs",))
_UPDATE: Final = _specs(min_items=1, max_items=1)
