"""Flavors: list, show, create, delete. Source: nova/api/openstack/compute/flavors.py, views/flavors.py, schemas/flavors.py."""

import re
import uuid
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from novaflow.errors import Invalid
from novaflow.models import Flavor
from novaflow.operations.flavors import SORT_KEYS, FlavorQuery
from services.api.openstack.bounds import LARGEST
from services.api.openstack.frame import Api, Links, context, empty, links, read_body, reply
from services.api.openstack.paging import next_link, page
from services.api.openstack.schema import (
    Mismatch,
    anything,
    boolean,
    choice,
    integer,
    name,
    record,
    validate,
)

_ID_FORM: Final = r"^(?! )[a-zA-Z0-9. _-]+(?<! )$"
_FLOAT_FORM: Final = r"^[0-9]+(\.[0-9]+)?$"
_LARGEST_FLOAT: Final = 3.40282e38
_YES: Final = ("1", "t", "true", "on", "y", "yes")
_NO: Final = ("0", "f", "false", "off", "n", "no")


def routes(api: Api) -> list[web.RouteDef]:
    """`/flavors`."""

    async def index(request: web.Request) -> web.Response:
        return await listed(request, "flavors", _basic)

    async def detail(request: web.Request) -> web.Response:
        return await listed(request, "flavors/detail", show_flavor)

    async def listed(request: web.Request, path: str, view: Any) -> web.Response:
        query = read_query(request, api.config.api.max_limit)
        found = await api.flavors.list(context(request), query)
        here = links(request)
        body: dict[str, Any] = {"flavors": [view(flavor, here) for flavor in found]}
        if found and (more := next_link(request, found, query.limit or 0, found[-1].id, path)):
            body["flavors_links"] = more
        return reply(body)

    async def show(request: web.Request) -> web.Response:
        found = await api.flavors.get(context(request), request.match_info["id"])
        return reply({"flavor": show_flavor(found, links(request))})

    async def create(request: web.Request) -> web.Response:
        body = await read_body(request, _CREATE)
        made = await api.flavors.create(context(request), _flavor(body["flavor"]))
        return reply({"flavor": show_flavor(made, links(request))})

    async def delete(request: web.Request) -> web.Response:
        await api.flavors.delete(context(request), request.match_info["id"])
        return empty(HTTPStatus.ACCEPTED)

    return [
        web.get("/flavors", index),
        web.get("/flavors/detail", detail),
        web.post("/flavors", create),
        web.get("/flavors/{id}", show),
        web.delete("/flavors/{id}", delete),
    ]


def show_flavor(flavor: Flavor, here: Links) -> dict[str, Any]:
    """A flavor with all that clients before 2.55 are shown."""
    return {
        **_basic(flavor, here),
        "ram": flavor.ram_mb,
        "disk": flavor.disk_gb,
        "swap": flavor.swap_mb or "",
        "OS-FLV-EXT-DATA:ephemeral": flavor.ephemeral_gb,
        "OS-FLV-DISABLED:disabled": flavor.is_disabled,
        "vcpus": flavor.vcpus,
        "os-flavor-access:is_public": flavor.is_public,
        "rxtx_factor": flavor.rxtx_factor or "",
    }


def read_query(request: web.Request, max_limit: int) -> FlavorQuery:
    """Which flavors the client wants; raises Invalid naming the parameter."""
    asked = page(request, max_limit)
    given = validate(dict(request.query), _QUERY, where="query parameters")
    return FlavorQuery(
        is_public=_is_public(given.get("is_public")),
        min_ram_mb=_minimum("minRam", given),
        min_disk_gb=_minimum("minDisk", given),
        sort_key=given.get("sort_key") or "flavorid",
        is_descending=given.get("sort_dir") == "desc",
        marker=asked.marker,
        limit=asked.limit,
    )


def _basic(flavor: Flavor, here: Links) -> dict[str, Any]:
    return {"id": flavor.id, "name": flavor.name, "links": here.to("flavors", flavor.id)}


def _is_public(given: str | None) -> bool | None:
    if given is None or given.lower() in _YES:
        return True
    if given.lower() in _NO:
        return False
    if given.lower() == "none":
        return None
    raise Invalid(reason=f"Invalid is_public filter [{given[:64]}]")


def _minimum(parameter: str, given: Mapping[str, str]) -> int:
    text = given.get(parameter, "0")
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise Invalid(reason=f"Invalid {parameter} filter [{text[:64]}]")
    return int(text)


def _flavor_id(value: object) -> str | None:
    """As Nova: a string of this form, a number, or null for one that is made up."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Mismatch(value, f"{value!r} is not of type 'string', 'number', 'null'")
    if isinstance(value, str) and not value:
        raise Mismatch(value, f"{value!r} is too short")
    if isinstance(value, str) and len(value) > 255:
        raise Mismatch(value, f"{value!r} is too long")
    if isinstance(value, str) and not re.search(_ID_FORM, value):
        raise Mismatch(value, f"{value!r} does not match {_ID_FORM!r}")
    return str(value)


def _factor(value: object) -> float:
    """A positive number, or a string of one."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Mismatch(value, f"{value!r} is not of type 'number', 'string'")
    if isinstance(value, str) and not re.search(_FLOAT_FORM, value[:64]):
        raise Mismatch(value, f"{value!r} does not match {_FLOAT_FORM!r}")
    number = float(value)
    if number <= 0:
        raise Mismatch(value, f"{value!r} is less than or equal to the minimum of 0")
    if number > _LARGEST_FLOAT:
        raise Mismatch(value, f"{value!r} is greater than the maximum of {_LARGEST_FLOAT}")
    return number


def _flavor(given: Mapping[str, Any]) -> Flavor:
    return Flavor(
        id=given.get("id") or str(uuid.uuid4()),
        name=given["name"],
        vcpus=given["vcpus"],
        ram_mb=given["ram"],
        disk_gb=given["disk"],
        ephemeral_gb=given.get("OS-FLV-EXT-DATA:ephemeral", 0),
        swap_mb=given.get("swap", 0),
        rxtx_factor=given.get("rxtx_factor", 1.0),
        is_public=given.get("os-flavor-access:is_public", True),
    )


_SORT_KEYS: Final[Sequence[str]] = tuple(SORT_KEYS)
_QUERY: Final = record(
    {
        "sort_key": choice(*_SORT_KEYS),
        "sort_dir": choice("asc", "desc"),
        "is_public": anything,
        "minRam": anything,
        "minDisk": anything,
    },
    is_open=True,
)
_CREATE: Final = record(
    {
        "flavor": record(
            {
                "name": name(),
                "id": _flavor_id,
                "ram": integer(1, LARGEST),
                "vcpus": integer(1, LARGEST),
                "disk": integer(0, LARGEST),
                "OS-FLV-EXT-DATA:ephemeral": integer(0, LARGEST),
                "swap": integer(0, LARGEST),
                "rxtx_factor": _factor,
                "os-flavor-access:is_public": boolean,
            },
            required=("name", "ram", "vcpus", "disk"),
        )
    },
    required=("flavor",),
)
