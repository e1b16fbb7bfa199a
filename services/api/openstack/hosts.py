"""The cloud's machines, as clients older than microversion 2.43 see them. Source: nova/api/openstack/compute/hosts.py."""

from collections.abc import Iterable
from typing import Any, Final

from aiohttp import web

from novaflow.models import Flavor
from novaflow.operations.hosts import Hypervisor
from services.api.openstack.frame import Api, context, reply

_PREFIX: Final = "nova-"


def routes(api: Api) -> list[web.RouteDef]:
    """`/os-hosts`."""

    async def index(request: web.Request) -> web.Response:
        found = await api.services.working(context(request), zone=request.query.get("zone", ""))
        shown = [
            {"host_name": service.host, "service": service.binary.removeprefix(_PREFIX), "zone": service.zone}
            for service in found
        ]
        return reply({"hosts": shown})

    async def show(request: web.Request) -> web.Response:
        found = await api.hosts.by_host(context(request), request.match_info["host"])
        return reply({"host": [{"resource": resource} for resource in _resources(found)]})

    return [web.get("/os-hosts", index), web.get("/os-hosts/{host}", show)]


def _resources(hypervisor: Hypervisor) -> list[dict[str, Any]]:
    """What there is, what is in use, what is promised, and what of that each project was promised."""
    host, has = hypervisor.host, hypervisor.host.resources
    projects: dict[str, list[Flavor]] = {}
    for server in hypervisor.servers:
        projects.setdefault(server.project_id, []).append(server.flavor)
    return [
        _resource(host.name, "(total)", has.vcpus, has.ram_mb, has.disk_gb),
        _resource(host.name, "(used_now)", host.vcpus_used, host.ram_mb_used, host.disk_gb_used),
        _promised(host.name, "(used_max)", [server.flavor for server in hypervisor.servers]),
        *(_promised(host.name, project, flavors) for project, flavors in projects.items()),
    ]


def _promised(host: str, project: str, flavors: Iterable[Flavor]) -> dict[str, Any]:
    each = list(flavors)
    return _resource(
        host,
        project,
        sum(flavor.vcpus for flavor in each),
        sum(flavor.ram_mb for flavor in each),
        sum(flavor.disk_gb + flavor.ephemeral_gb for flavor in each),
    )


def _resource(host: str, project: str, vcpus: int, ram_mb: int, disk_gb: int) -> dict[str, Any]:
    return {"host": host, "project": project, "cpu": vcpus, "memory_mb": ram_mb, "disk_gb": disk_gb}
