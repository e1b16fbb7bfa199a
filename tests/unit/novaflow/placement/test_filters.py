"""Every filter: what it lets through, what it refuses and in which words."""

import msgspec
import pytest

from novaflow.config import Scheduler
from novaflow.errors import Invalid
from novaflow.models import Flavor, Host, HostResources, RequestSpec
from novaflow.placement.filters import FILTERS, Ask, named

SETTINGS = Scheduler(ram_allocation_ratio=1.0, cpu_allocation_ratio=2.0, disk_allocation_ratio=1.0)


def host(**changes: object) -> Host:
    facts: dict[str, object] = {
        "id": "h",
        "name": "c1",
        "resources": HostResources(vcpus=4, ram_mb=8000, disk_gb=100),
    }
    return Host(**{**facts, **changes})  # type: ignore[arg-type]


def ask(*, tried: tuple[str, ...] = (), zone: str = "", **size: int) -> Ask:
    flavor = msgspec.structs.replace(Flavor(id="1", name="any", vcpus=1, ram_mb=512, disk_gb=1), **size)
    spec = RequestSpec(project_id="p", user_id="u", flavor=flavor, availability_zone=zone)
    return Ask(spec=spec, tried=frozenset(tried), settings=SETTINGS)


@pytest.mark.parametrize("name", FILTERS)
def test_an_empty_host_that_is_up_passes_every_filter(name: str) -> None:
    assert FILTERS[name](host(), ask()) is None


@pytest.mark.parametrize(
    ("name", "full", "question", "words"),
    [
        ("ram", host(ram_mb_used=7900), ask(ram_mb=512), "512 MB asked, 100 of 8000 free"),
        ("core", host(vcpus_used=7), ask(vcpus=2), "2 vCPUs asked, 1 of 8 free"),
        ("disk", host(disk_gb_used=95), ask(disk_gb=4, ephemeral_gb=1, swap_mb=1), "6 GB asked, 5 of 100 free"),
        ("compute", host(is_up=False), ask(), "the service is down"),
        ("compute", host(is_enabled=False), ask(), "the service is disabled"),
        ("availability_zone", host(), ask(zone="west"), "zone west asked, the host is in nova"),
        ("retry", host(), ask(tried=("c9", "c1")), "the build failed on this host already"),
    ],
)
def test_a_filter_says_why_it_refuses(name: str, full: Host, question: Ask, words: str) -> None:
    assert FILTERS[name](full, question) == words


@pytest.mark.parametrize(
    ("name", "exact", "question"),
    [
        ("ram", host(ram_mb_used=7488), ask(ram_mb=512)),
        ("core", host(vcpus_used=6), ask(vcpus=2)),
        ("disk", host(disk_gb_used=96), ask(disk_gb=4)),
        ("availability_zone", host(availability_zone="west"), ask(zone="west")),
        ("retry", host(), ask(tried=("c2",))),
    ],
)
def test_what_just_fits_is_let_through(name: str, exact: Host, question: Ask) -> None:
    assert FILTERS[name](exact, question) is None


def test_a_server_takes_root_ephemeral_and_swap_of_a_disk() -> None:
    assert Flavor(id="1", name="f", vcpus=1, ram_mb=1, disk_gb=10, ephemeral_gb=5, swap_mb=1025).claimed_disk_gb == 17


def test_filters_come_in_the_order_they_are_named() -> None:
    assert [name for name, _ in named(("disk", "ram"))] == ["disk", "ram"]


def test_a_filter_nobody_wrote_is_named_in_the_error() -> None:
    with pytest.raises(Invalid, match=r"scheduler\.filters: there is no filter 'moon'"):
        named(("ram", "moon"))
