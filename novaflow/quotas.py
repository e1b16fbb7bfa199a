"""What a request takes out of a quota, and whether that is too much. Pure: the database keeps the counts."""

from collections.abc import Iterable
from typing import Final

import msgspec

from novaflow.errors import QuotaExceeded
from novaflow.models import Flavor, QuotaLimits, Usage

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


def largest_count(usage: Usage, limits: QuotaLimits, flavor: Flavor, at_most: int) -> int:
    """How many servers of `flavor`, up to `at_most`, fit now: what a request with min_count and max_count gets."""
    rooms = [at_most]
    for resource, each in (("instances", 1), ("cores", flavor.vcpus), ("ram", flavor.ram_mb)):
        limit = getattr(limits, resource)
        if limit >= 0 and each > 0:
            rooms.append((limit - getattr(usage, resource)) // each)
    return max(0, min(rooms))


def with_overrides(defaults: QuotaLimits, overrides: dict[str, int]) -> QuotaLimits:
    """The limits of a project that has its own for some resources."""
    return msgspec.structs.replace(defaults, **overrides)
