"""The decision: who is chosen, in which order, and what is said when nobody is."""

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novaflow.config import Scheduler
from novaflow.errors import NoValidHost
from novaflow.models import Flavor, Host, HostResources, RequestSpec
from novaflow.placement.choose import choose, fault_of

SETTINGS = Scheduler(ram_allocation_ratio=1.0)


def host(name: str, ram_used: int = 0, **changes: object) -> Host:
    facts: dict[str, object] = {"resources": HostResources(vcpus=8, ram_mb=8000, disk_gb=100), "ram_mb_used": ram_used}
    return Host(id=name, name=name, **{**facts, **changes})  # type: ignore[arg-type]


def spec(ram_mb: int = 512, force_host: str = "") -> RequestSpec:
    flavor = Flavor(id="1", name="m1.tiny", vcpus=1, ram_mb=ram_mb, disk_gb=1)
    return RequestSpec(project_id="p", user_id="u", flavor=flavor, force_host=force_host)


def test_the_host_with_most_free_memory_is_chosen() -> None:
    hosts = [host("c1", 4000), host("c2", 1000), host("c3", 2000)]

    assert choose(hosts, spec(), settings=SETTINGS).name == "c2"


def test_a_negative_weight_stacks_servers() -> None:
    hosts = [host("c1", 4000), host("c2", 1000)]

    assert choose(hosts, spec(), settings=Scheduler(ram_weight=-1.0)).name == "c1"


def test_equal_hosts_are_taken_by_name_without_dice_and_by_the_dice_with_them() -> None:
    hosts = [host(f"c{n}") for n in range(9, 0, -1)]

    assert choose(hosts, spec()).name == "c1"
    drawn = [choose(hosts, spec(), dice=random.Random(seed)).name for seed in range(50)]
    assert len(set(drawn)) > 4
    assert choose(hosts, spec(), dice=random.Random(7)) == choose(hosts, spec(), dice=random.Random(7))


def test_memory_promised_a_moment_ago_counts_against_a_host() -> None:
    hosts = [host("c1"), host("c2", 100)]

    assert choose(hosts, spec(), promised={"c1": 512}).name == "c2"


def test_a_promise_never_refuses_a_host() -> None:
    assert choose([host("c1")], spec(), settings=SETTINGS, promised={"c1": 9000}).name == "c1"


def test_a_host_that_said_no_is_not_asked_again_and_a_filter_has_the_word_before_it() -> None:
    said = {"c1": "claim: it has not enough room left", "c2": "claim: it has not enough room left"}
    hosts = [host("c1"), host("c2", 8000), host("c3", 4000)]

    assert choose(hosts, spec(), settings=SETTINGS, refused=said).name == "c3"
    with pytest.raises(NoValidHost) as refused:
        choose(hosts[:2], spec(), settings=SETTINGS, refused=said)

    assert refused.value.refusals == {"c1": said["c1"], "c2": "ram: 512 MB asked, 0 of 8000 free"}


def test_when_nobody_fits_every_host_says_why() -> None:
    hosts = [host("c1", 7900), host("c2", is_up=False), host("c3")]

    with pytest.raises(NoValidHost) as refused:
        choose(hosts, spec(), tried=["c3"], settings=SETTINGS)

    assert refused.value.refusals == {
        "c1": "ram: 512 MB asked, 100 of 8000 free",
        "c2": "compute: the service is down",
        "c3": "retry: the build failed on this host already",
    }


def test_the_fault_says_it_as_nova_does_and_fits_novas_column() -> None:
    few = fault_of(NoValidHost(refusals={"c1": "ram: 512 MB asked, 100 of 8000 free"}))
    many = fault_of(NoValidHost(refusals={f"c{n:04}": "compute: the service is down" for n in range(5000)}))
    none = fault_of(NoValidHost())

    opening = "No valid host was found. There are not enough hosts available. "
    assert (few.code, few.message) == (500, opening + "c1: ram: 512 MB asked, 100 of 8000 free")
    assert len(many.message) == 255
    assert many.message.startswith(opening + "c0000: compute: the service is down; c0001")
    assert len(many.details) == 16384
    assert none.message == opening + "There is no host at all."


def test_a_forced_host_may_be_full_or_disabled() -> None:
    hosts = [host("c1"), host("c2", 7999, is_enabled=False, availability_zone="west")]

    assert choose(hosts, spec(force_host="c2")).name == "c2"


@pytest.mark.parametrize(
    ("hosts", "tried", "why"),
    [
        ([host("c1")], (), "force_host: there is no such host"),
        ([host("c1"), host("c2", is_up=False)], (), "compute: the service is down"),
        ([host("c1"), host("c2")], ("c2",), "retry: the build failed on this host already"),
    ],
)
def test_a_forced_host_must_be_there_and_not_have_failed(hosts: list[Host], tried: tuple[str, ...], why: str) -> None:
    with pytest.raises(NoValidHost) as refused:
        choose(hosts, spec(force_host="c2"), tried=tried)

    assert refused.value.refusals == {"c2": why}


@given(used=st.lists(st.integers(0, 8000), min_size=1, max_size=30), ram_mb=st.integers(1, 9000))
def test_the_chosen_host_always_has_room_and_nobody_has_more(used: list[int], ram_mb: int) -> None:
    hosts = [host(f"c{n}", ram_used) for n, ram_used in enumerate(used)]
    fits = [h for h in hosts if h.ram_mb_used + ram_mb <= 8000]

    if fits:
        assert choose(hosts, spec(ram_mb), settings=SETTINGS).ram_mb_used == min(h.ram_mb_used for h in fits)
    else:
        with pytest.raises(NoValidHost):
            choose(hosts, spec(ram_mb), settings=SETTINGS)


def test_five_thousand_hosts_are_decided_upon_in_a_blink() -> None:
    hosts = [host(f"c{n}", n % 7000) for n in range(5000)]

    began = time.process_time()
    choose(hosts, spec())

    assert time.process_time() - began < 0.2
