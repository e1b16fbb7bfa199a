"""The processes of the cloud as administrators see them, and the zones they make up."""

from collections.abc import Sequence
from typing import Final

from novaflow.clock import Clock
from novaflow.db.hosts import COMPUTE
from novaflow.db.services import Services
from novaflow.errors import Conflict, Invalid, Missing, NotFound
from novaflow.hosts import ServiceRecord
from novaflow.models import Context, Value
from novaflow.operations.rights import admin_only
from novaflow.recent import Recent

INTERNAL_ZONE: Final = "internal"
_RULE: Final = "os_compute_api:os-services:{}"
_ZONES: Final = "os_compute_api:os-availability-zone:{}"
_RECENT: Final = 1.0  # seconds; servers are shown far more often than hosts change


class Zone(Value, frozen=True, kw_only=True):
    """An availability zone: available as long as one of its services is enabled."""

    name: str
    is_available: bool
    services: tuple[ServiceRecord, ...] = ()  # the enabled ones


class ServiceOperations:
    """What can be done with services. One is down after `down_time` seconds without a sign of life."""

    def __init__(self, services: Services, clock: Clock, down_time: float) -> None:
        self._services = services
        self._clock = clock
        self._down_time = down_time
        self._recent = Recent(self._all, clock, _RECENT)

    async def recent(self, context: Context, *, binary: str) -> Sequence[ServiceRecord]:
        """The services of a binary as they were a second ago, or later; changes made here show at once."""
        admin_only(context, _RULE.format("list"))
        return [service for service in await self._recent.get() if service.binary == binary]

    async def list(self, context: Context, *, host: str = "", binary: str = "") -> Sequence[ServiceRecord]:
        """All services, or those of one host or binary."""
        admin_only(context, _RULE.format("list"))
        return [
            service
            for service in await self._all()
            if (not host or service.host == host) and (not binary or service.binary == binary)
        ]

    async def working(self, context: Context, *, zone: str = "") -> Sequence[ServiceRecord]:
        """The services that are not disabled, or those of them in one zone."""
        admin_only(context, "os_compute_api:os-hosts:list")
        return [service for service in await self._all() if service.is_enabled and (not zone or service.zone == zone)]

    async def enable(self, context: Context, *, host: str, binary: str) -> None:
        """Let the scheduler choose this host again; raises Invalid, Missing."""
        service = await self._compute(context, host, binary)
        await self._services.set_enabled(service.id, is_enabled=True, reason=None)
        self._recent.forget()

    async def disable(self, context: Context, *, host: str, binary: str, reason: str | None = None) -> None:
        """Keep the scheduler from choosing this host; raises Invalid, Missing."""
        service = await self._compute(context, host, binary)
        await self._services.set_enabled(service.id, is_enabled=False, reason=reason)
        self._recent.forget()

    async def force_down(self, context: Context, *, host: str, binary: str, is_forced_down: bool) -> None:
        """Call a service down whatever it says, or no longer; raises Invalid, Missing."""
        service = await self._compute(context, host, binary)
        await self._services.set_forced_down(service.id, is_forced_down)
        self._recent.forget()

    async def delete(self, context: Context, service_id: int) -> None:
        """Forget a service that is gone for good; raises Missing, Conflict while its host has servers."""
        admin_only(context, _RULE.format("delete"))
        try:
            await self._services.delete(service_id)
        except NotFound:
            raise Missing(reason=f"Service {service_id} not found.") from None
        except Conflict:
            said = "Unable to delete compute service that is hosting instances. Migrate or delete the instances first."
            raise Conflict(reason=said) from None
        self._recent.forget()

    async def zones(self) -> Sequence[Zone]:
        """Every availability zone that servers can be put into; anyone may know."""
        return [zone for zone in zones_of(await self._all()) if zone.name != INTERNAL_ZONE]

    async def zones_in_detail(self, context: Context) -> Sequence[Zone]:
        """Every zone, with the control plane's own, and the services in each."""
        admin_only(context, _ZONES.format("detail"))
        return zones_of(await self._all())

    async def _all(self) -> Sequence[ServiceRecord]:
        return await self._services.all(self._clock.now(), self._down_time)

    async def _compute(self, context: Context, host: str, binary: str) -> ServiceRecord:
        admin_only(context, _RULE.format("update"))
        if binary != COMPUTE:
            raise Invalid(
                reason=(f"Updating a {binary} service is not supported. Only nova-compute services can be updated.")
            )
        for service in await self._all():
            if (service.host, service.binary) == (host, binary):
                return service
        raise Missing(reason=f"Could not find binary {binary} on host {host}.")


def zones_of(services: Sequence[ServiceRecord]) -> Sequence[Zone]:
    """The zones that these services make up, available ones first; pure."""
    enabled: dict[str, list[ServiceRecord]] = {}
    for service in services:
        if service.is_enabled:
            enabled.setdefault(service.zone, []).append(service)
    disabled = dict.fromkeys(service.zone for service in services if service.zone not in enabled)
    available = [Zone(name=name, is_available=True, services=tuple(inside)) for name, inside in enabled.items()]
    return [*available, *(Zone(name=name, is_available=False) for name in disabled)]
