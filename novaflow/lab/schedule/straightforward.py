"""The decision as one would write it down, and as Nova does (nova/scheduler/host_manager.py): every filter over the hosts that are left, then
all of those weighed and sorted. The same filters and weighers as the real one, so the two must agree; tests hold them to it and
the benchmark compares what they cost.
"""

from collections.abc import Iterable, Mapping

from novaflow.hosts import Host
from novaflow.placement.asking import Ask
from novaflow.placement.filters import ALWAYS, LAST, named
from novaflow.placement.weighers import Biggest, draw, weight


def passing(hosts: Iterable[Host], ask: Ask) -> list[Host]:
    """The hosts that every filter accepts."""
    left = list(hosts)
    for one in (*ALWAYS, *named(ask.settings.filters), *LAST):
        rule = one.rule(ask)
        if rule is not None:
            left = [host for host in left if not rule(host)]
    return left


def weighed(hosts: Iterable[Host], ask: Ask, biggest: Biggest, promised: Mapping[str, int]) -> list[tuple[float, Host]]:
    """The hosts with their weights, the best first."""
    drawn = draw(ask.group, ask.settings)
    weights = [
        (weight(host, ask.settings, biggest, promised.get(host.name, 0)) + drawn.get(host.name, 0.0), host)
        for host in hosts
    ]
    return sorted(weights, key=lambda one: -one[0])


def biggest_of(hosts: Iterable[Host]) -> Biggest:
    """The scale of the weights."""
    biggest = Biggest()
    for host in hosts:
        biggest = biggest.or_bigger(host)
    return biggest
