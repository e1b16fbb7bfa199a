"""Rules about the other servers of a group. What they see may be a moment old; the claim holds to the policy again, with the group locked."""

from typing import Final

from novaflow.hosts import Host
from novaflow.placement.asking import Ask, Group, Refusal, Rule, refuse

AFFINITY: Final = "affinity"
ANTI_AFFINITY: Final = "anti-affinity"
SOFT_AFFINITY: Final = "soft-affinity"
SOFT_ANTI_AFFINITY: Final = "soft-anti-affinity"


HARD: Final = frozenset({AFFINITY, ANTI_AFFINITY})


def forbidden(group: Group, host: str) -> Refusal | None:
    """Why the policy keeps one more server of the group from this host."""
    servers = group.servers
    if group.policy == AFFINITY and servers and host not in servers:
        return refuse("the group's servers are on {}", min(servers))
    if group.policy == ANTI_AFFINITY and servers.get(host, 0) >= group.max_server_per_host:
        return refuse("it has {} of at most {} servers of the group", servers[host], group.max_server_per_host)
    return None


def server_group_affinity(ask: Ask) -> Rule | None:
    """The host is the one that the group's servers are on."""
    return _rule(ask, AFFINITY)


def server_group_anti_affinity(ask: Ask) -> Rule | None:
    """The host has fewer of the group's servers than the group lets it have: one, unless it says more."""
    return _rule(ask, ANTI_AFFINITY)


def _rule(ask: Ask, policy: str) -> Rule | None:
    group = ask.group
    if group is None or group.policy != policy or not group.servers:
        return None

    def rule(host: Host) -> Refusal | None:
        return forbidden(group, host.name)

    return rule
