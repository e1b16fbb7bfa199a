"""Rules about room: what the allocation ratios leave of a host, and how busy it is.

Each has a twin whose limit an administrator may set in the metadata of an aggregate; of several aggregates the smallest counts,
and what is not a number does not (nova/scheduler/filters/utils.py, `validate_num_values`).
"""

import math
from collections.abc import Callable, Iterator

import msgspec

from novaflow.config import Scheduler
from novaflow.hosts import Host
from novaflow.placement.asking import Ask, Refusal, Rule, refuse


def ram(ask: Ask) -> Rule:
    """The flavor's memory fits into what the allocation ratio leaves."""
    asked, ratio = ask.spec.flavor.ram_mb, ask.settings.ram_allocation_ratio

    def rule(host: Host) -> Refusal | None:
        return _shortage(asked, host.ram_mb_used, int(host.resources.ram_mb * ratio), "MB")

    return rule


def core(ask: Ask) -> Rule:
    """The flavor's vCPUs fit into what the allocation ratio leaves."""
    asked, ratio = ask.spec.flavor.vcpus, ask.settings.cpu_allocation_ratio

    def rule(host: Host) -> Refusal | None:
        return _shortage(asked, host.vcpus_used, int(host.resources.vcpus * ratio), "vCPUs")

    return rule


def disk(ask: Ask) -> Rule:
    """The flavor's disks fit into what the allocation ratio leaves."""
    asked, ratio = ask.spec.flavor.claimed_disk_gb, ask.settings.disk_allocation_ratio

    def rule(host: Host) -> Refusal | None:
        return _shortage(asked, host.disk_gb_used, int(host.resources.disk_gb * ratio), "GB")

    return rule


def num_instances(ask: Ask) -> Rule:
    """The host has fewer servers than `scheduler.max_instances_per_host`."""
    most = ask.settings.max_instances_per_host
    return lambda host: refuse("it has {} of {} servers", host.servers, most) if host.servers >= most else None


def io_ops(ask: Ask) -> Rule:
    """Fewer servers than `scheduler.max_io_ops_per_host` are being built, resized, copied or rebuilt on the host."""
    most = ask.settings.max_io_ops_per_host
    return lambda host: refuse("it does {} of {} heavy tasks", host.io_ops, most) if host.io_ops >= most else None


def aggregate_ram(ask: Ask) -> Rule:
    """`ram`, with the aggregates' `ram_allocation_ratio`."""
    return _by_aggregate(ask, ram, ("ram_allocation_ratio",))


def aggregate_core(ask: Ask) -> Rule:
    """`core`, with the aggregates' `cpu_allocation_ratio`."""
    return _by_aggregate(ask, core, ("cpu_allocation_ratio",))


def aggregate_disk(ask: Ask) -> Rule:
    """`disk`, with the aggregates' `disk_allocation_ratio`."""
    return _by_aggregate(ask, disk, ("disk_allocation_ratio",))


def aggregate_num_instances(ask: Ask) -> Rule:
    """`num_instances`, with the aggregates' `max_instances_per_host`."""
    return _by_aggregate(ask, num_instances, ("max_instances_per_host",))


def aggregate_io_ops(ask: Ask) -> Rule:
    """`io_ops`, with the aggregates' `max_io_ops_per_host`."""
    return _by_aggregate(ask, io_ops, ("max_io_ops_per_host",))


_RATIOS = {
    "aggregate_ram": "ram_allocation_ratio",
    "aggregate_core": "cpu_allocation_ratio",
    "aggregate_disk": "disk_allocation_ratio",
}


def ratios_of(host: Host, settings: Scheduler) -> Scheduler:
    """The settings by which a claim on `host` is held: with its aggregates' ratios where a filter that is on reads them."""
    names = tuple(ratio for name, ratio in _RATIOS.items() if name in settings.filters)
    return _settings_of(host, settings, names) if names else settings


def _by_aggregate(ask: Ask, plain: Callable[[Ask], Rule], names: tuple[str, ...]) -> Rule:
    """The plain rule under the settings of each host's aggregates; hosts of like aggregates share one."""
    usual = plain(ask)
    made: dict[tuple[float, ...], Rule] = {}

    def rule(host: Host) -> Refusal | None:
        if not host.aggregates:
            return usual(host)
        settings = _settings_of(host, ask.settings, names)
        key = tuple(getattr(settings, name) for name in names)
        if key not in made:
            made[key] = plain(Ask(spec=ask.spec, settings=settings))
        return made[key](host)

    return rule


def _settings_of(host: Host, settings: Scheduler, names: tuple[str, ...]) -> Scheduler:
    found = {name: value for name in names if (value := min(_numbers(host, name), default=None)) is not None}
    changes = {name: type(getattr(settings, name))(value) for name, value in found.items()}
    return msgspec.structs.replace(settings, **changes) if changes else settings


def _numbers(host: Host, name: str) -> Iterator[float]:
    for aggregate in host.aggregates:
        try:
            value = float(aggregate.metadata.get(name, ""))
        except ValueError:
            continue
        if math.isfinite(value):
            yield value


def _shortage(asked: int, used: int, total: int, unit: str) -> Refusal | None:
    free = total - used
    return None if asked <= free else refuse("{} {} asked, {} of {} free", asked, unit, free, total)
