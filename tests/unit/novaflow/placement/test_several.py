"""Several like servers at once: each sees what those before it take."""

import pytest

from novaflow.config import Scheduler
from novaflow.errors import NoValidHost
from novaflow.models import Flavor, Host, HostResources, RequestSpec
from novaflow.placement.several import choose_several

SETTINGS = Scheduler(ram_allocation_ratio=1.0, cpu_allocation_ratio=1.0, disk_allocation_ratio=1.0)
SPEC = RequestSpec(
    project_id="p", user_id="u", flavor=Flavor(id="2", name="m1.small", vcpus=1, ram_mb=1000, disk_gb=10)
)


def host(name: str, *, vcpus: int = 8, ram_mb: int = 8000, disk_gb: int = 100) -> Host:
    return Host(id=name, name=name, resources=HostResources(vcpus=vcpus, ram_mb=ram_mb, disk_gb=disk_gb))


def names(hosts: list[Host], count: int, *tried: str) -> list[str]:
    return [chosen.name for chosen in choose_several(hosts, SPEC, count, tried, SETTINGS)]


def test_servers_are_spread_as_if_each_were_there_before_the_next_is_placed() -> None:
    assert names([host("c1"), host("c2", ram_mb=7000)], 4) == ["c1", "c1", "c2", "c1"]


@pytest.mark.parametrize(
    ("narrow", "why"),
    [({"vcpus": 2}, "core"), ({"ram_mb": 2500}, "ram"), ({"disk_gb": 25}, "disk")],
)
def test_all_fit_or_none_and_whatever_runs_out_is_named(narrow: dict[str, int], why: str) -> None:
    assert names([host("c1", **narrow)], 2) == ["c1", "c1"]
    with pytest.raises(NoValidHost) as caught:
        names([host("c1", **narrow)], 3)
    assert caught.value.refusals["c1"].startswith(f"{why}: ")


def test_hosts_to_be_left_out_are() -> None:
    assert names([host("c1"), host("c2")], 2, "c1") == ["c2", "c2"]
