"""What projects used. Source: nova/api/openstack/compute/simple_tenant_usage.py."""

from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web

from novaflow.errors import Invalid
from novaflow.operations.usage import Period, ProjectUsage, ServerUsage, disk_gb
from novaflow.states import Vm
from services.api.openstack.frame import Api, context, reply
from services.api.openstack.times import microseconds

_FORMS: Final = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%d %H:%M:%S.%f")


def routes(api: Api) -> list[web.RouteDef]:
    """`/os-simple-tenant-usage`."""

    async def index(request: web.Request) -> web.Response:
        period = _period(request, api.clock.now())
        found = await api.usages.all(context(request), period)
        is_detailed = request.query.get("detailed") == "1"
        return reply({"tenant_usages": [_project(usage, period, is_detailed=is_detailed) for usage in found]})

    async def show(request: web.Request) -> web.Response:
        period = _period(request, api.clock.now())
        found = await api.usages.of(context(request), request.match_info["id"], period)
        return reply({"tenant_usage": _project(found, period, is_detailed=True) if found else {}})

    return [web.get("/os-simple-tenant-usage", index), web.get("/os-simple-tenant-usage/{id}", show)]


def _period(request: web.Request, now: datetime) -> Period:
    """From `start` to `end`, as far as that is past; now, where one is not given."""
    start, stop = (_moment(request.query.get(name), now) for name in ("start", "end"))
    if not start < stop:
        raise Invalid(reason="Invalid start time. The start time cannot occur after the end time.")
    return Period(start=start, stop=min(stop, now), now=now)


def _moment(given: str | None, now: datetime) -> datetime:
    if not given:
        return now
    for form in _FORMS:
        try:
            return datetime.strptime(given, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise Invalid(reason="Invalid datetime string: Datetime is in invalid format")


def _project(usage: ProjectUsage, period: Period, *, is_detailed: bool) -> dict[str, Any]:
    shown = {
        "tenant_id": usage.project_id,
        "start": microseconds(period.start),
        "stop": microseconds(period.stop),
        "total_hours": usage.hours,
        "total_vcpus_usage": usage.vcpu_hours,
        "total_memory_mb_usage": usage.ram_mb_hours,
        "total_local_gb_usage": usage.disk_gb_hours,
    }
    return {**shown, "server_usages": [_server(one) for one in usage.servers]} if is_detailed else shown


def _server(usage: ServerUsage) -> dict[str, Any]:
    server = usage.server
    is_gone = server.vm is Vm.DELETED
    return {
        "instance_id": server.id,
        "name": server.name,
        "tenant_id": server.project_id,
        "flavor": server.flavor.name,
        "vcpus": server.flavor.vcpus,
        "memory_mb": server.flavor.ram_mb,
        "local_gb": disk_gb(server),
        "hours": usage.hours,
        "uptime": int(usage.uptime.total_seconds()),
        "started_at": microseconds(server.launched_at),
        "ended_at": microseconds(server.deleted_at),
        "state": "terminated" if is_gone else server.vm.value,
    }
