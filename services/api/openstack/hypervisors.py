"""The compute hosts. Source: nova/api/openstack/compute/hypervisors.py."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import web

from novaflow.db.hosts import HostStatistics
from novaflow.operations.hosts import Hypervisor
from services.api.openstack.faults import HttpFault
from services.api.openstack.frame import Api, context, microversion, reply
from services.api.openstack.microversion import Version
from services.api.openstack.paging import next_link, page

CPU_OBJECT: Final[Version] = (2, 28)
PAGES: Final[Version] = (2, 33)
_NOT_COUNTED: Final = 0  # tasks in progress per host: a number that Nova itself gave up in 2.88
View = Callable[[Hypervisor, Version], dict[str, Any]]


def routes(api: Api) -> list[web.RouteDef]:
    """`/os-hypervisors`."""

    async def index(request: web.Request) -> web.Response:
        return await _listed(api, request, "list", _basic, "os-hypervisors")

    async def detail(request: web.Request) -> web.Response:
        return await _listed(api, request, "list-detail", _detailed, "os-hypervisors/detail")

    async def show(request: web.Request) -> web.Response:
        found = await api.hosts.get(context(request), request.match_info["id"])
        return reply({"hypervisor": _detailed(found, microversion(request))})

    async def statistics(request: web.Request) -> web.Response:
        return reply({"hypervisor_statistics": _totals(await api.hosts.totals(context(request)))})

    async def uptime(request: web.Request) -> web.Response:
        found = await api.hosts.get(context(request), request.match_info["id"], action="uptime")
        if not found.service.is_up:
            said = f"Compute service of {found.host.name} is unavailable at this time."
            raise HttpFault(HTTPStatus.BAD_REQUEST, said)
        raise HttpFault(HTTPStatus.NOT_IMPLEMENTED, "The requested functionality is not supported.")

    async def search(request: web.Request) -> web.Response:
        found = await api.hosts.search(context(request), request.match_info["id"])
        return reply({"hypervisors": [_basic(hypervisor, microversion(request)) for hypervisor in found]})

    async def servers(request: web.Request) -> web.Response:
        found = await api.hosts.search(context(request), request.match_info["id"], action="servers", with_servers=True)
        return reply({"hypervisors": [_with_servers(hypervisor, microversion(request)) for hypervisor in found]})

    return [
        web.get("/os-hypervisors", index),
        web.get("/os-hypervisors/detail", detail),
        web.get("/os-hypervisors/statistics", statistics),
        web.get("/os-hypervisors/{id}", show),
        web.get("/os-hypervisors/{id}/uptime", uptime),
        web.get("/os-hypervisors/{id}/search", search),
        web.get("/os-hypervisors/{id}/servers", servers),
    ]


async def _listed(api: Api, request: web.Request, action: str, view: View, path: str) -> web.Response:
    version = microversion(request)
    if version < PAGES:
        found: Sequence[Hypervisor] = await api.hosts.list(context(request), action=action)
        return reply({"hypervisors": [view(hypervisor, version) for hypervisor in found]})
    asked = page(request, api.config.api.max_limit)
    found = await api.hosts.list(context(request), action=action, marker=asked.marker, limit=asked.limit)
    body: dict[str, Any] = {"hypervisors": [view(hypervisor, version) for hypervisor in found]}
    if found and (more := next_link(request, found, asked.limit, str(found[-1].id), path)):
        body["hypervisors_links"] = more
    return reply(body)


def _basic(hypervisor: Hypervisor, version: Version) -> dict[str, Any]:  # noqa: ARG001 - as the other views
    return {
        "id": hypervisor.id,
        "hypervisor_hostname": hypervisor.name,
        "state": "up" if hypervisor.service.is_up else "down",
        "status": "enabled" if hypervisor.service.is_enabled else "disabled",
    }


def _with_servers(hypervisor: Hypervisor, version: Version) -> dict[str, Any]:
    shown = _basic(hypervisor, version)
    if hypervisor.servers:
        shown["servers"] = [{"name": server.name, "uuid": server.id} for server in hypervisor.servers]
    return shown


def _detailed(hypervisor: Hypervisor, version: Version) -> dict[str, Any]:
    host, has = hypervisor.host, hypervisor.host.resources
    free_disk = has.disk_gb - host.disk_gb_used
    cpu_info = has.cpu_info if version >= CPU_OBJECT else msgspec.json.encode(has.cpu_info).decode()
    return {
        **_basic(hypervisor, version),
        "hypervisor_type": has.hypervisor_type,
        "hypervisor_version": has.hypervisor_version,
        "host_ip": has.host_ip,
        "service": {
            "id": hypervisor.service.id,
            "host": hypervisor.service.host,
            "disabled_reason": hypervisor.service.disabled_reason,
        },
        "vcpus": has.vcpus,
        "vcpus_used": host.vcpus_used,
        "memory_mb": has.ram_mb,
        "memory_mb_used": host.ram_mb_used,
        "free_ram_mb": has.ram_mb - host.ram_mb_used,
        "local_gb": has.disk_gb,
        "local_gb_used": host.disk_gb_used,
        "free_disk_gb": free_disk,
        # What is left when every guest fills the disk it was promised: claims count whole disks.
        "disk_available_least": free_disk,
        "running_vms": host.servers,
        "current_workload": _NOT_COUNTED,
        "cpu_info": cpu_info,
    }


def _totals(totals: HostStatistics) -> dict[str, int]:
    free_disk = totals.disk_gb - totals.disk_gb_used
    return {
        "count": totals.count,
        "vcpus": totals.vcpus,
        "vcpus_used": totals.vcpus_used,
        "memory_mb": totals.ram_mb,
        "memory_mb_used": totals.ram_mb_used,
        "free_ram_mb": totals.ram_mb - totals.ram_mb_used,
        "local_gb": totals.disk_gb,
        "local_gb_used": totals.disk_gb_used,
        "free_disk_gb": free_disk,
        "disk_available_least": free_disk,
        "running_vms": totals.servers,
        "current_workload": _NOT_COUNTED,
    }
