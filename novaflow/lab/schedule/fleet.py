"""A made-up fleet and the questions that are asked of it: hosts of three sizes in three zones, some of them dead, off, or of another kind."""

import random
from typing import Final

from novaflow.config import Scheduler
from novaflow.hosts import Host, HostResources
from novaflow.models import Flavor, ImageFacts, RequestSpec
from novaflow.placement.asking import Ask

SIZES: Final = ((16, 65_536, 1_000), (32, 131_072, 2_000), (64, 262_144, 4_000))  # vCPUs, MB, GB
ZONES: Final = ("east", "west", "north")
FLAVORS: Final = tuple(
    Flavor(id=str(number), name=name, vcpus=vcpus, ram_mb=ram_mb, disk_gb=disk_gb)
    for number, (name, vcpus, ram_mb, disk_gb) in enumerate(
        (("tiny", 1, 512, 1), ("small", 1, 2048, 20), ("medium", 2, 4096, 40), ("large", 4, 8192, 80)), start=1
    )
)
_CAPABLE: Final = {"capabilities:cpu_info:features": "<in> avx2"}


def hosts_of(count: int, dice: random.Random) -> list[Host]:
    """So many hosts, each used to between none and seven tenths; one in fifty is off and another one dead."""
    return [_host(number, dice) for number in range(count)]


def ask_of(settings: Scheduler, dice: random.Random) -> Ask:
    """A question as users ask: every fifth names a zone, every fifth needs a processor feature, every third image an architecture."""
    flavor = dice.choice(FLAVORS)
    if dice.random() < 0.2:
        flavor = Flavor(
            id=f"{flavor.id}a",
            name=flavor.name,
            vcpus=flavor.vcpus,
            ram_mb=flavor.ram_mb,
            disk_gb=flavor.disk_gb,
            extra_specs=_CAPABLE,
        )
    properties = {"hw_architecture": "x86_64"} if dice.random() < 0.33 else {}
    spec = RequestSpec(
        project_id=f"p{dice.randrange(50)}",
        user_id="u",
        flavor=flavor,
        image=ImageFacts(id="i", properties=properties),
        availability_zone=dice.choice(ZONES) if dice.random() < 0.2 else "",
    )
    return Ask(spec=spec, settings=settings)


def _host(number: int, dice: random.Random) -> Host:
    vcpus, ram_mb, disk_gb = dice.choice(SIZES)
    used = dice.random() * 0.7
    features = ["sse4_2", "avx", "avx2"] if dice.random() < 0.8 else ["sse4_2"]
    return Host(
        id=f"h{number}",
        name=f"c{number:05}",
        resources=HostResources(
            vcpus=vcpus, ram_mb=ram_mb, disk_gb=disk_gb, cpu_info={"arch": "x86_64", "features": features}
        ),
        vcpus_used=int(vcpus * used),
        ram_mb_used=int(ram_mb * used),
        disk_gb_used=int(disk_gb * used),
        servers=int(vcpus * used),
        availability_zone=dice.choice(ZONES),
        is_enabled=dice.random() > 0.02,
        is_up=dice.random() > 0.02,
    )
