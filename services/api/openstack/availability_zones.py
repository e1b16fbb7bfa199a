"""Availability zones. Source: nova/api/openstack/compute/availability_zone.py."""

from collections.abc import Iterable
from typing import Any

from aiohttp import web

from novaflow.hosts import ServiceRecord
from services.api.openstack.frame import Api, context, reply
from services.api.openstack.times import microseconds


def routes(api: Api) -> list[web.RouteDef]:
    """`/os-availability-zone`."""

    async def index(request: web.Request) -> web.Response:  # noqa: ARG001 - the same for everybody
        zones = await api.services.zones()
        return reply({"availabilityZoneInfo": [_zone(zone.name, zone.is_available, None) for zone in zones]})

    async def detail(request: web.Request) -> web.Response:
        zones = await api.services.zones_in_detail(context(request))
        shown = [
            _zone(zone.name, zone.is_available, _hosts(zone.services) if zone.is_available else None) for zone in zones
        ]
        return reply({"availabilityZoneInfo": shown})

    return [web.get("/os-availability-zone", index), web.get("/os-availability-zone/detail", detail)]


def _zone(name: str, available: bool, hosts: dict[str, Any] | None) -> dict[str, Any]:  # noqa: FBT001
    return {"zoneName": name, "zoneState": {"available": available}, "hosts": hosts}


def _hosts(services: Iterable[ServiceRecord]) -> dict[str, Any]:
    hosts: dict[str, dict[str, Any]] = {}
    for service in services:
        hosts.setdefault(service.host, {})[service.binary] = {
            "available": service.is_up,
            "active": service.is_enabled,
            "updated_at": microseconds(service.updated_at),
        }
    return hosts
