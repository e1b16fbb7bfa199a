"""The compute hosts as administrators see them: Nova's hypervisors."""

from collections.abc import Sequence
from typing import Final

from novaflow.clock import Clock
from novaflow.db.hosts import COMPUTE, Hosts, HostStatistics
from novaflow.db.servers import ServerQuery, Servers
from novaflow.db.services import Services
from novaflow.errors import Invalid, Missing
from novaflow.hosts import Host, ServiceRecord
from novaflow.models import Context, Server, Value
from novaflow.operations.rights import admin_only

_RULE: Final = "os_compute_api:os-hypervisors:{}"


class Hypervisor(Value, frozen=True, kw_only=True):
    """A host with the service that runs on it and, where asked for, the servers on it."""

    host: Host
    service: ServiceRecord
    servers: tuple[Server, ...] = ()

    @property
    def id(self) -> int:
        """A host and its service are one here, so the service's number is the hypervisor's."""
        return self.service.id

    @property
    def name(self) -> str:
        """What the hypervisor calls its machine."""
        return self.host.resources.hypervisor_hostname or self.host.name


class HostOperations:
    """What can be asked about hosts; all of it is for administrators, and `action` names the rule that says so."""

    def __init__(self, hosts: Hosts, services: Services, servers: Servers, clock: Clock, down_time: float) -> None:
        self._hosts = hosts
        self._services = services
        self._servers = servers
        self._clock = clock
        self._down_time = down_time

    async def list(
        self, context: Context, *, action: str = "list", marker: str | None = None, limit: int | None = None
    ) -> Sequence[Hypervisor]:
        """The hosts by id, those after `marker`; raises Invalid for an unknown marker."""
        admin_only(context, _RULE.format(action))
        found = await self._all()
        start = 0
        if marker is not None:
            places = [place for place, hypervisor in enumerate(found) if str(hypervisor.id) == marker]
            if not places:
                raise Invalid(reason=f"marker [{marker}] not found")
            start = places[0] + 1
        return found[start:] if limit is None else found[start : start + limit]

    async def get(self, context: Context, hypervisor_id: str, *, action: str = "show") -> Hypervisor:
        """One host; raises Missing."""
        admin_only(context, _RULE.format(action))
        for hypervisor in await self._all():
            if str(hypervisor.id) == hypervisor_id:
                return hypervisor
        raise Missing(reason=f"Hypervisor with ID '{hypervisor_id}' could not be found.")

    async def search(
        self, context: Context, pattern: str, *, action: str = "search", with_servers: bool = False
    ) -> Sequence[Hypervisor]:
        """The hosts whose name contains `pattern`; raises Missing when there are none."""
        admin_only(context, _RULE.format(action))
        found = [hypervisor for hypervisor in await self._all() if pattern.lower() in hypervisor.name.lower()]
        if not found:
            raise Missing(reason=f"No hypervisor matching '{pattern}' could be found.")
        return [await self._with_servers(hypervisor) for hypervisor in found] if with_servers else found

    async def by_host(self, context: Context, name: str) -> Hypervisor:
        """One host by its own name, with its servers; raises Missing."""
        admin_only(context, "os_compute_api:os-hosts:show")
        for hypervisor in await self._all():
            if hypervisor.host.name == name:
                return await self._with_servers(hypervisor)
        raise Missing(reason=f"Compute host {name} could not be found.")

    async def totals(self, context: Context) -> HostStatistics:
        """All hosts that are enabled, added up."""
        admin_only(context, _RULE.format("statistics"))
        return await self._hosts.statistics()

    async def _all(self) -> Sequence[Hypervisor]:
        now = self._clock.now()
        computes = {
            service.host: service
            for service in await self._services.all(now, self._down_time)
            if service.binary == COMPUTE
        }
        hosts = await self._hosts.all(now, self._down_time)
        # A host whose service was deleted is no longer a part of the cloud, as in Nova.
        found = [Hypervisor(host=host, service=computes[host.name]) for host in hosts if host.name in computes]
        return sorted(found, key=lambda hypervisor: hypervisor.id)

    async def _with_servers(self, hypervisor: Hypervisor) -> Hypervisor:
        servers = await self._servers.list(ServerQuery(host=hypervisor.host.name))
        return Hypervisor(host=hypervisor.host, service=hypervisor.service, servers=tuple(servers))
