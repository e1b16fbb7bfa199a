"""What a project may have, what a request takes out of that, and whether it is too much. Pure: the database keeps the counts."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from novaflow.errors import QuotaExceeded
from novaflow.models import Flavor, Value


class QuotaLimits(Value, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits of one project (or the defaults); -1 is unlimited. Names are Nova's."""

    instances: int = 10
    cores: int = 20
    ram: int = 51200  # MB
    key_pairs: int = 100
    metadata_items: int = 128
    injected_files: int = 5
    injected_file_content_bytes: int = 10240
    injected_file_path_bytes: int = 255
    server_groups: int = 10
    server_group_members: int = 10
    fixed_ips: int = -1
    floating_ips: int = 10
    security_groups: int = 10
    security_group_rules: int = 20
    volumes: int = 10
    gigabytes: int = 1000  # of volumes and their snapshots
    snapshots: int = 10


class Usage(Value, frozen=True, kw_only=True):
    """What a project has in use now."""

    instances: int = 0
    cores: int = 0
    ram: int = 0
    key_pairs: int = 0
    server_groups: int = 0
    floating_ips: int = 0
    security_groups: int = 0
    security_group_rules: int = 0  # of one group
    volumes: int = 0
    gigabytes: int = 0
    snapshots: int = 0


COUNTED: Final = (
    "instances",
    "cores",
    "ram",
    "key_pairs",
)  # by counters; other resources are counted where they are kept
ASKED: Final = Usage.__struct_fields__  # in the order in which a refusal names them
NO_LIMIT: Final = -1
UNLIMITED: Final = QuotaLimits(**dict.fromkeys(QuotaLimits.__struct_fields__, NO_LIMIT))


def ask_of(flavors: Iterable[Flavor]) -> Usage:
    """What servers of these flavors take."""
    sizes = [(flavor.vcpus, flavor.ram_mb) for flavor in flavors]
    return Usage(instances=len(sizes), cores=sum(vcpus for vcpus, _ in sizes), ram=sum(ram for _, ram in sizes))


def plus(usage: Usage, more: Usage) -> Usage:
    """The sum, resource by resource."""
    return Usage(**{resource: getattr(usage, resource) + getattr(more, resource) for resource in ASKED})


def less(usage: Usage, taken: Usage) -> Usage:
    """The difference, resource by resource."""
    return Usage(**{resource: getattr(usage, resource) - getattr(taken, resource) for resource in ASKED})


def refusal(usage: Usage, limits: QuotaLimits, ask: Usage) -> QuotaExceeded | None:
    """The first resource that `ask` would take over its limit; None when all fits. What is not asked for is not checked."""
    for resource in ASKED:
        asked, used, limit = (getattr(value, resource) for value in (ask, usage, limits))
        if asked > 0 and limit >= 0 and used + asked > limit:
            return QuotaExceeded(resource=resource, asked=asked, used=used, limit=limit)
    return None


def largest_count(usage: Usage, limits: QuotaLimits, flavor: Flavor, at_most: int, sizes: Sequence[int] = ()) -> int:
    """How many servers of `flavor`, up to `at_most`, fit now: what a request with min_count and max_count gets.

    Each has new volumes of these `sizes` (GB).
    """
    rooms = [at_most]
    servers = (("instances", 1), ("cores", flavor.vcpus), ("ram", flavor.ram_mb))
    for resource, each in (*servers, ("volumes", len(sizes)), ("gigabytes", sum(sizes))):
        limit = getattr(limits, resource)
        if limit >= 0 and each > 0:
            rooms.append((limit - getattr(usage, resource)) // each)
    return max(0, min(rooms))


def with_overrides(defaults: QuotaLimits, overrides: dict[str, int]) -> QuotaLimits:
    """The limits of a project that has its own for some resources."""
    return msgspec.structs.replace(defaults, **overrides)
