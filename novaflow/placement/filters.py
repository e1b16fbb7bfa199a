"""The rules a host must pass to be given a server; each says in words why a host does not.

Named and ordered by the configuration (`scheduler.filters`). The rules are those of nova/scheduler/filters:
retry_filter, availability_zone_filter, compute_filter, ram_filter, core_filter, disk_filter (2014.1).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from novaflow.config import Scheduler
from novaflow.errors import Invalid
from novaflow.models import Host, RequestSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """One question to a host: may this server live on you? `tried` are the hosts that failed it already."""

    spec: RequestSpec
    tried: frozenset[str] = frozenset()
    settings: Scheduler = field(default_factory=Scheduler)


Filter = Callable[[Host, Ask], str | None]


def retry(host: Host, ask: Ask) -> str | None:
    """A host that failed to build this server is not asked again."""
    return "the build failed on this host already" if host.name in ask.tried else None


def availability_zone(host: Host, ask: Ask) -> str | None:
    """The host is in the zone the user named, if the user named one."""
    asked = ask.spec.availability_zone
    if asked and asked != host.availability_zone:
        return f"zone {asked} asked, the host is in {host.availability_zone}"
    return None


def up(host: Host, ask: Ask) -> str | None:  # noqa: ARG001  the shape of every filter
    """The compute service of the host is alive."""
    return None if host.is_up else "the service is down"


def compute(host: Host, ask: Ask) -> str | None:
    """The compute service of the host is up and enabled."""
    return up(host, ask) or (None if host.is_enabled else "the service is disabled")


def ram(host: Host, ask: Ask) -> str | None:
    """The flavor's memory fits into what the allocation ratio leaves."""
    total = int(host.resources.ram_mb * ask.settings.ram_allocation_ratio)
    return _shortage(ask.spec.flavor.ram_mb, host.ram_mb_used, total, " MB")


def core(host: Host, ask: Ask) -> str | None:
    """The flavor's vCPUs fit into what the allocation ratio leaves."""
    total = int(host.resources.vcpus * ask.settings.cpu_allocation_ratio)
    return _shortage(ask.spec.flavor.vcpus, host.vcpus_used, total, " vCPUs")


def disk(host: Host, ask: Ask) -> str | None:
    """The flavor's disks fit into what the allocation ratio leaves."""
    total = int(host.resources.disk_gb * ask.settings.disk_allocation_ratio)
    return _shortage(ask.spec.flavor.claimed_disk_gb, host.disk_gb_used, total, " GB")


FILTERS: Final[dict[str, Filter]] = {
    "retry": retry,
    "availability_zone": availability_zone,
    "compute": compute,
    "ram": ram,
    "core": core,
    "disk": disk,
}


def named(names: Sequence[str]) -> list[tuple[str, Filter]]:
    """The filters of these names, in order; raises Invalid for a name that no filter has."""
    unknown = [name for name in names if name not in FILTERS]
    if unknown:
        known = ", ".join(FILTERS)
        raise Invalid(reason=f"scheduler.filters: there is no filter {unknown[0]!r} (there are: {known})")
    return [(name, FILTERS[name]) for name in names]


def _shortage(asked: int, used: int, total: int, unit: str) -> str | None:
    free = total - used
    return None if asked <= free else f"{asked}{unit} asked, {free} of {total} free"
