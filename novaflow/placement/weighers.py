"""Which of the fitting hosts is the better one: a number per host, higher is better.

The weighers are Nova's (nova/scheduler/weights): free memory, vCPUs and disk, heavy tasks, soft affinity; each times its setting. A
positive weight of something free spreads servers over the hosts, a negative one stacks them.

Nova scales each to 0..1 between the least and the most of the hosts that fit. Here what is free is a share of what the biggest host
has, so that a host's number hangs on nothing but the host: hosts can then be kept in order (decision 12). With one weigher on, as
by default, the order is the same.
"""

from collections.abc import Mapping
from typing import NamedTuple

from novaflow.config import Scheduler
from novaflow.hosts import Host
from novaflow.placement.asking import Group
from novaflow.placement.rules.groups import SOFT_AFFINITY, SOFT_ANTI_AFFINITY


class Biggest(NamedTuple):
    """The most that any host has; of what none has, 1."""

    vcpus: int = 1
    ram_mb: int = 1
    disk_gb: int = 1

    def or_bigger(self, host: Host) -> "Biggest":
        """The same, with one more host."""
        has = host.resources
        if has.vcpus <= self.vcpus and has.ram_mb <= self.ram_mb and has.disk_gb <= self.disk_gb:
            return self
        return Biggest(max(self.vcpus, has.vcpus), max(self.ram_mb, has.ram_mb), max(self.disk_gb, has.disk_gb))


def weight(host: Host, settings: Scheduler, biggest: Biggest, promised_mb: int = 0) -> float:
    """How much this host is wanted.

    `promised_mb` is the memory of servers that were just given to the host and that its record may not show yet; it only
    weighs, since the claim in the database is what counts.
    """
    has = host.resources
    wanted = settings.ram_weight * ((has.ram_mb - host.ram_mb_used - promised_mb) / biggest.ram_mb)
    if settings.cpu_weight:
        free = has.vcpus * settings.cpu_allocation_ratio - host.vcpus_used
        wanted += settings.cpu_weight * (free / (biggest.vcpus * settings.cpu_allocation_ratio))
    if settings.disk_weight:
        wanted += settings.disk_weight * ((has.disk_gb - host.disk_gb_used) / biggest.disk_gb)
    if settings.io_ops_weight:
        wanted += settings.io_ops_weight * host.io_ops
    return wanted


def draw(group: Group | None, settings: Scheduler) -> Mapping[str, float]:
    """What a group with a soft policy adds to the weight of the hosts that have servers of it, by host name."""
    if group is None or not group.servers or group.policy not in (SOFT_AFFINITY, SOFT_ANTI_AFFINITY):
        return {}
    pull = settings.soft_affinity_weight if group.policy == SOFT_AFFINITY else -settings.soft_anti_affinity_weight
    most = max(group.servers.values())
    return {host: pull * count / most for host, count in group.servers.items()}
