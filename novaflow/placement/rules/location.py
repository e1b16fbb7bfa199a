"""Rules about where a host is and whether it works: retry, zones, services, addresses, other servers' hosts."""

import ipaddress
from typing import Final

from novaflow.hosts import Host
from novaflow.placement.asking import Ask, Refusal, Rule, refuse

_DEFAULT_CIDR: Final = "/24"


def retry(ask: Ask) -> Rule | None:
    """A host that failed to build this server is not asked again."""
    tried = ask.tried
    if not tried:
        return None
    return lambda host: refuse("the build failed on this host already") if host.name in tried else None


def ignored(ask: Ask) -> Rule | None:
    """A host that the request leaves out is left out; no setting turns this off."""
    left_out = frozenset(ask.spec.ignore_hosts)
    if not left_out:
        return None
    return lambda host: refuse("the request leaves this host out") if host.name in left_out else None


def claims(ask: Ask) -> Rule | None:
    """A host that did not take this server a moment ago is not asked again now."""
    refused = ask.refused
    if not refused:
        return None
    return lambda host: refuse("{}", refused[host.name]) if host.name in refused else None


def availability_zone(ask: Ask) -> Rule | None:
    """The host is in the zone the user named, if the user named one. An aggregate's zone stands above the host's own."""
    asked = ask.spec.availability_zone
    if not asked:
        return None

    def rule(host: Host) -> Refusal | None:
        return None if asked == host.zone else refuse("zone {} asked, the host is in {}", asked, host.zone)

    return rule


def is_up(host: Host) -> Refusal | None:
    """The compute service of the host is alive."""
    return None if host.is_up else refuse("the service is down")


def compute(_ask: Ask) -> Rule:
    """The compute service of the host is up and enabled."""

    def rule(host: Host) -> Refusal | None:
        if host.is_up and host.is_enabled:
            return None
        return is_up(host) or refuse("the service is disabled")

    return rule


def same_host(ask: Ask) -> Rule | None:
    """The host has one of the servers that the hint `same_host` names."""
    asked = ask.spec.hint_list("same_host")
    if not asked:
        return None
    homes = {ask.homes[server] for server in asked if server in ask.homes}
    return lambda host: None if host.name in homes else refuse("it has none of the servers {}", ", ".join(asked))


def different_host(ask: Ask) -> Rule | None:
    """The host has none of the servers that the hint `different_host` names."""
    homes = {ask.homes[server]: server for server in ask.spec.hint_list("different_host") if server in ask.homes}
    if not homes:
        return None
    return lambda host: refuse("it has server {}", homes[host.name]) if host.name in homes else None


def simple_cidr_affinity(ask: Ask) -> Rule | None:
    """The host's address is in the network of the hints `build_near_host_ip` and `cidr` (/24 if there is none)."""
    near = ask.spec.hint("build_near_host_ip")
    if not near:
        return None
    cidr = ask.spec.hint("cidr") or _DEFAULT_CIDR
    try:
        network = ipaddress.ip_network(f"{near}{cidr}", strict=False)
    except ValueError:
        return lambda _host: refuse("{}{} is not a network", near, cidr)

    def rule(host: Host) -> Refusal | None:
        try:
            is_near = ipaddress.ip_address(host.resources.host_ip) in network
        except ValueError:
            is_near = False
        return None if is_near else refuse("its address {} is not in {}", host.resources.host_ip, network)

    return rule


def isolated_hosts(ask: Ask) -> Rule | None:
    """Isolated images go to isolated hosts, and other images only where the configuration lets them."""
    settings = ask.settings
    if not settings.isolated_hosts:
        return None
    image = ask.spec.image
    is_isolated = image is not None and image.id in settings.isolated_images

    def rule(host: Host) -> Refusal | None:
        on_isolated = host.name in settings.isolated_hosts
        if is_isolated and not on_isolated:
            return refuse("the image is for isolated hosts")
        if on_isolated and not is_isolated and settings.restrict_isolated_hosts_to_isolated_images:
            return refuse("the host is for isolated images")
        return None

    return rule
