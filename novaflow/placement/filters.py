"""Every filter by its name, and what it is named by Nova.

Which are on, and in which order, the configuration says (`scheduler.filters`); the first that refuses a host is the one that is
reported. They are those of nova/scheduler/filters (2014.1, and the newer aggregate_* among them). Left out, since what they ask about is
not in this cloud: pci_passthrough (no devices are passed through), trusted (no attestation service), metrics (hosts report none) and numa_topology
(guests are not pinned).
"""

from functools import lru_cache
from typing import Final

import msgspec

from novaflow.config import Scheduler
from novaflow.errors import Invalid
from novaflow.placement.asking import Filter
from novaflow.placement.rules import aggregates, capacity, groups, kinds, location, query

# What no setting turns off, and what a host that an administrator named must pass (it may be full or disabled, as in Nova).
ALWAYS: Final = (Filter("ignore_hosts", location.ignored),)
LAST: Final = (Filter("", location.claims),)  # says itself who refused
RETRY: Final = Filter("retry", location.retry)
FORCED: Final = (RETRY, Filter("compute", lambda _ask: location.is_up))

_KNOWN: Final = (
    RETRY,
    Filter("availability_zone", location.availability_zone, lambda ask: ask.spec.availability_zone),
    Filter("compute", location.compute, lambda _: None),
    Filter("ram", capacity.ram, lambda ask: ask.spec.flavor.ram_mb),
    Filter("core", capacity.core, lambda ask: ask.spec.flavor.vcpus),
    Filter("disk", capacity.disk, lambda ask: ask.spec.flavor.claimed_disk_gb),
    Filter("compute_capabilities", kinds.compute_capabilities, lambda ask: kinds.capability_specs(ask.spec.flavor)),
    Filter("image_properties", kinds.image_properties, lambda ask: kinds.image_wishes(ask.spec.image)),
    Filter("server_group_affinity", groups.server_group_affinity),
    Filter("server_group_anti_affinity", groups.server_group_anti_affinity),
    Filter(
        "aggregate_instance_extra_specs",
        aggregates.aggregate_instance_extra_specs,
        lambda ask: aggregates.aggregate_specs(ask.spec.flavor),
    ),
    Filter(
        "aggregate_image_properties_isolation",
        aggregates.aggregate_image_properties_isolation,
        lambda ask: ask.spec.image and tuple(sorted(ask.spec.image.properties.items())),
    ),
    Filter(
        "aggregate_multitenancy_isolation",
        aggregates.aggregate_multitenancy_isolation,
        lambda ask: ask.spec.project_id,
    ),
    Filter("aggregate_ram", capacity.aggregate_ram, lambda ask: ask.spec.flavor.ram_mb),
    Filter("aggregate_core", capacity.aggregate_core, lambda ask: ask.spec.flavor.vcpus),
    Filter("aggregate_disk", capacity.aggregate_disk, lambda ask: ask.spec.flavor.claimed_disk_gb),
    Filter("aggregate_num_instances", capacity.aggregate_num_instances, lambda _: None),
    Filter("aggregate_io_ops", capacity.aggregate_io_ops, lambda _: None),
    Filter("aggregate_type_affinity", aggregates.aggregate_type_affinity, lambda ask: ask.spec.flavor.name),
    Filter("same_host", location.same_host),
    Filter("different_host", location.different_host),
    Filter("simple_cidr_affinity", location.simple_cidr_affinity),
    Filter("io_ops", capacity.io_ops, lambda _: None),
    Filter("num_instances", capacity.num_instances, lambda _: None),
    Filter("isolated_hosts", location.isolated_hosts, lambda ask: ask.spec.image and ask.spec.image.id),
    Filter("type_affinity", kinds.type_affinity, lambda ask: ask.spec.flavor.id),
    Filter("json", query.json),
    Filter("all_hosts", lambda _ask: None),
)
FILTERS: Final = {one.name: one for one in _KNOWN}
# What of a host's servers must be read for these; the others make do with the host's own record.
READ_SERVERS: Final = frozenset({"io_ops", "aggregate_io_ops", "type_affinity"})


@lru_cache(maxsize=16)
def named(names: tuple[str, ...]) -> tuple[Filter, ...]:
    """The filters of these names, in order; `RamFilter` and `nova.scheduler.filters.ram_filter.RamFilter` are `ram`.

    Raises Invalid for a name that no filter has.
    """
    for name in names:
        if _plain(name) not in _BY_PLAIN_NAME:
            known = ", ".join(FILTERS)
            raise Invalid(reason=f"scheduler.filters: there is no filter {name!r} (there are: {known})")
    return tuple(_BY_PLAIN_NAME[_plain(name)] for name in names)


def canonical(settings: Scheduler) -> Scheduler:
    """The settings with the filters by our names; raises as `named`."""
    return msgspec.structs.replace(settings, filters=tuple(one.name for one in named(settings.filters)))


def _plain(name: str) -> str:
    """Of a name of ours or Nova's, what the two have in common."""
    return name.rpartition(".")[2].replace("_", "").lower().removesuffix("filter")


_BY_PLAIN_NAME: Final = {_plain(one.name): one for one in _KNOWN}
