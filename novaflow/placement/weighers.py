"""Which of the fitting hosts is the better one: a number per host, higher is better.

The one weigher is Nova's default, nova/scheduler/weights/ram.py: free memory times `scheduler.ram_weight`. A positive
weight spreads servers over the hosts, a negative one stacks them.
"""

from collections.abc import Mapping

from novaflow.config import Scheduler
from novaflow.models import Host


def weight(host: Host, settings: Scheduler, promised: Mapping[str, int]) -> float:
    """How much this host is wanted.

    `promised` is the memory (MB by host name) of servers that were just given to a host and that its record may
    not show yet; it only weighs, since the claim in the database is what counts.
    """
    free_ram_mb = host.resources.ram_mb - host.ram_mb_used - promised.get(host.name, 0)
    return settings.ram_weight * free_ram_mb
