"""What projects used: hours of servers and of what they are made of, from when they were launched and terminated."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from novaflow.db.servers import ServerQuery, Servers
from novaflow.models import Context, Server, Value
from novaflow.operations.rights import admin_only, admin_or_owner

_RULE: Final = "os_compute_api:os-simple-tenant-usage:{}"
_HOUR: Final = timedelta(hours=1)


class Period(Value, frozen=True, kw_only=True):
    """What is counted: the time from `start` to `stop`, seen from `now`."""

    start: datetime
    stop: datetime
    now: datetime


class ServerUsage(Value, frozen=True, kw_only=True):
    """One server's time within a period; `hours` counts only that, `uptime` its whole life so far."""

    server: Server
    hours: float
    uptime: timedelta


class ProjectUsage(Value, frozen=True, kw_only=True):
    """What one project used within a period."""

    project_id: str
    servers: tuple[ServerUsage, ...]

    @property
    def hours(self) -> float:
        """Hours of servers."""
        return sum(usage.hours for usage in self.servers)

    @property
    def vcpu_hours(self) -> float:
        """Hours of virtual CPUs."""
        return sum(usage.hours * usage.server.flavor.vcpus for usage in self.servers)

    @property
    def ram_mb_hours(self) -> float:
        """Hours of MB of memory."""
        return sum(usage.hours * usage.server.flavor.ram_mb for usage in self.servers)

    @property
    def disk_gb_hours(self) -> float:
        """Hours of GB of disk, ephemeral disk included."""
        return sum(usage.hours * disk_gb(usage.server) for usage in self.servers)


def disk_gb(server: Server) -> int:
    """All the disk a server takes."""
    return server.flavor.disk_gb + server.flavor.ephemeral_gb


def usage_of(servers: Iterable[Server], period: Period) -> Sequence[ProjectUsage]:
    """What each project used; pure. A server that never came up costs nothing."""
    projects: dict[str, list[ServerUsage]] = {}
    for server in servers:
        launched, gone = server.launched_at, server.deleted_at
        if launched is None or launched > period.stop or (gone is not None and gone < period.start):
            continue
        counted = min(gone or period.stop, period.stop) - max(launched, period.start)
        used = ServerUsage(server=server, hours=counted / _HOUR, uptime=(gone or period.now) - launched)
        projects.setdefault(server.project_id, []).append(used)
    return [ProjectUsage(project_id=project, servers=tuple(used)) for project, used in projects.items()]


class UsageOperations:
    """Who may know what was used: members their own project's, administrators all."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers

    async def all(self, context: Context, period: Period) -> Sequence[ProjectUsage]:
        """What every project used."""
        admin_only(context, _RULE.format("list"))
        return usage_of(await self._launched(None, period), period)

    async def of(self, context: Context, project_id: str, period: Period) -> ProjectUsage | None:
        """What one project used; None for nothing."""
        admin_or_owner(context, project_id, _RULE.format("show"))
        return next(iter(usage_of(await self._launched(project_id, period), period)), None)

    async def _launched(self, project_id: str | None, period: Period) -> list[Server]:
        """Every server that may have run in the period: those that are there, and those that went since it began."""
        there = await self._servers.list(ServerQuery(project_id=project_id))
        gone = ServerQuery(project_id=project_id, deleted_since=period.start)
        return [*there, *await self._servers.list(gone)]
