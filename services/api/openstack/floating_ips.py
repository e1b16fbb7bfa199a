"""Floating addresses and their pools. Gone since 2.36.

Source: nova/api/openstack/compute/floating_ips.py, floating_ip_pools.py.
"""

from functools import partial
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from novaflow.errors import Missing
from novaflow.models import FloatingAddress
from services.api.openstack.bounds import LARGEST
from services.api.openstack.frame import Api, checked, context, empty, needs, read_json, reply
from services.api.openstack.limits import NETWORK_GONE
from services.api.openstack.microversion import MIN
from services.api.openstack.schema import optional, record, text

_BODY: Final = record({"pool": optional(text(max_length=255))})


def routes(api: Api) -> list[web.RouteDef]:
    """`/os-floating-ips` and `/os-floating-ip-pools`."""
    return [
        web.get("/os-floating-ips", partial(_index, api)),
        web.post("/os-floating-ips", partial(_create, api)),
        web.get("/os-floating-ips/{id}", partial(_show, api)),
        web.delete("/os-floating-ips/{id}", partial(_delete, api)),
        web.get("/os-floating-ip-pools", partial(_pools, api)),
    ]


async def _index(api: Api, request: web.Request) -> web.Response:
    needs(request, MIN, NETWORK_GONE)
    found = await api.floating_addresses.list(context(request))
    return reply({"floating_ips": [_view(api, address) for address in found]})


async def _create(api: Api, request: web.Request) -> web.Response:
    needs(request, MIN, NETWORK_GONE)
    given = checked(await read_json(request), _BODY) if request.can_read_body else {}
    made = await api.floating_addresses.allocate(context(request), given.get("pool"))
    return reply({"floating_ip": _view(api, made)})


async def _show(api: Api, request: web.Request) -> web.Response:
    needs(request, MIN, NETWORK_GONE)
    return reply({"floating_ip": _view(api, await api.floating_addresses.get(context(request), _number(request)))})


async def _delete(api: Api, request: web.Request) -> web.Response:
    needs(request, MIN, NETWORK_GONE)
    await api.floating_addresses.release(context(request), _number(request))
    return empty(HTTPStatus.ACCEPTED)


async def _pools(api: Api, request: web.Request) -> web.Response:
    needs(request, MIN, NETWORK_GONE)
    return reply({"floating_ip_pools": [{"name": api.floating_addresses.pool}]})


def _number(request: web.Request) -> int:
    given = request.match_info["id"]
    if not given.isascii() or not given.isdigit() or int(given[:12]) > LARGEST:
        raise Missing(reason=f"Floating IP not found for ID {given[:64]}")
    return int(given)


def _view(api: Api, address: FloatingAddress) -> dict[str, Any]:
    return {
        "id": address.id,
        "ip": address.ip,
        "fixed_ip": address.fixed_ip,
        "instance_id": address.server_id,
        "pool": api.floating_addresses.pool,
    }
