"""The same decision for several like servers, each of which sees the room that those before it take."""

import random
from collections.abc import Collection, Mapping, Sequence

import msgspec

from novaflow.config import Scheduler
from novaflow.models import Host, RequestSpec
from novaflow.placement.choose import choose


def choose_several(
    hosts: Sequence[Host],
    spec: RequestSpec,
    count: int,
    tried: Collection[str] = (),
    settings: Scheduler | None = None,
    *,
    promised: Mapping[str, int] | None = None,
    dice: random.Random | None = None,
) -> list[Host]:
    """A host per server, in order; raises NoValidHost for the first one that fits nowhere: there is room for all or for none.

    As in Nova (nova/scheduler/manager.py, `_consume_selected_host`), a chosen host counts as fuller for the next. The rest is
    novaflow.placement.choose.choose's.
    """
    now = {host.name: host for host in hosts}
    chosen = []
    for _ in range(count):
        host = choose(list(now.values()), spec, tried, settings, promised=promised or {}, dice=dice)
        chosen.append(host)
        now[host.name] = _with(host, spec)
    return chosen


def _with(host: Host, spec: RequestSpec) -> Host:
    """The host with one more such server on it."""
    return msgspec.structs.replace(
        host,
        vcpus_used=host.vcpus_used + spec.flavor.vcpus,
        ram_mb_used=host.ram_mb_used + spec.flavor.ram_mb,
        disk_gb_used=host.disk_gb_used + spec.flavor.claimed_disk_gb,
        servers=host.servers + 1,
    )
