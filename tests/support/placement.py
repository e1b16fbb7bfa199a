"""Hosts and questions for the tests of placement."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from novaflow.config import Scheduler
from novaflow.hosts import Aggregate, Host, HostResources
from novaflow.models import Flavor, ImageFacts, RequestSpec
from novaflow.placement import choose as decisions
from novaflow.placement.asking import Ask, Group, said
from novaflow.placement.filters import FILTERS
from novaflow.placement.ranking import Ranking

PLAIN = Scheduler(ram_allocation_ratio=1.0, cpu_allocation_ratio=2.0, disk_allocation_ratio=1.0)
FLAVOR = Flavor(id="1", name="m1.tiny", vcpus=1, ram_mb=512, disk_gb=1)


def host(name: str = "c1", ram_used: int = 0, **changes: Any) -> Host:
    """A host of 4 vCPUs, 8000 MB and 100 GB. Facts of its resources and of its own are told apart by their names."""
    sizes = {"vcpus": 4, "ram_mb": 8000, "disk_gb": 100}
    given = {key: changes.pop(key) for key in list(changes) if key in HostResources.__struct_fields__}
    return Host(id=name, name=name, resources=HostResources(**{**sizes, **given}), ram_mb_used=ram_used, **changes)


def aggregate(zone: str | None = None, **metadata: str) -> Aggregate:
    """An aggregate as a host has it."""
    return Aggregate(id=1, uuid="a", name="a", availability_zone=zone, metadata=metadata)


def ask(
    *,
    tried: Sequence[str] = (),
    refused: Mapping[str, str] | None = None,
    group: Group | None = None,
    homes: Mapping[str, str] | None = None,
    settings: Scheduler = PLAIN,
    properties: dict[str, str] | None = None,
    **given: Any,
) -> Ask:
    """A question; sizes and extra specs are the flavor's, `properties` the image's, the rest the spec's."""
    sizes = {key: given.pop(key) for key in list(given) if key in Flavor.__struct_fields__}
    image = None if properties is None else ImageFacts(id="i", properties=properties)
    spec = {"project_id": "p", "user_id": "u", "flavor": msgspec.structs.replace(FLAVOR, **sizes), "image": image}
    return Ask(
        spec=RequestSpec(**{**spec, **given}),
        tried=frozenset(tried),
        refused=refused or {},
        group=group,
        homes=homes or {},
        settings=settings,
    )


def why(name: str, of: Host, question: Ask) -> str | None:
    """What the filter of this name says of a host; None: it passes."""
    rule = FILTERS[name].rule(question)
    refusal = rule(of) if rule else None
    return said("", refusal) if refusal else None


def choose(hosts: Sequence[Host], question: Ask, dice: random.Random | None = None) -> Host:
    """The decision over just these hosts."""
    return decisions.choose(Ranking(question.settings, hosts, dice), question, dice)
