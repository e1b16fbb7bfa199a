"""The decision: who is chosen, in which order, and what is said when nobody is."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novaflow.config import Scheduler
from novaflow.errors import NoValidHost
from novaflow.hosts import Host
from novaflow.placement.asking import Group
from novaflow.placement.choose import MOST_TOLD, choose_several, fault_of
from novaflow.placement.choose import choose as choose_of
from novaflow.placement.ranking import Ranking
from tests.support.placement import PLAIN, ask, choose, host


def test_the_host_with_most_free_memory_is_chosen() -> None:
    assert choose([host("c1", 4000), host("c2", 1000), host("c3", 2000)], ask()).name == "c2"


def test_a_negative_weight_stacks_servers() -> None:
    stacking = Scheduler(ram_weight=-1.0)

    assert choose([host("c1", 4000), host("c2", 1000)], ask(settings=stacking)).name == "c1"


@pytest.mark.parametrize(
    ("weights", "best"),
    [
        ({"ram_weight": 1.0}, "ram"),
        ({"ram_weight": 0.0, "cpu_weight": 1.0}, "cpu"),
        ({"ram_weight": 0.0, "disk_weight": 1.0}, "disk"),
        ({"ram_weight": 0.0, "io_ops_weight": -1.0}, "quiet"),
        ({"ram_weight": 1.0, "cpu_weight": 2.0}, "cpu"),
        ({"ram_weight": 2.0, "cpu_weight": 1.0}, "ram"),
    ],
)
def test_each_weigher_has_its_say(weights: dict[str, float], best: str) -> None:
    hosts = [
        host("ram", 1000, vcpus_used=4, disk_gb_used=50, io_ops=3),
        host("cpu", 3000, vcpus_used=2, disk_gb_used=50, io_ops=3),
        host("disk", 3000, vcpus_used=4, disk_gb_used=10, io_ops=3),
        host("quiet", 3000, vcpus_used=4, disk_gb_used=50, io_ops=1),
    ]

    assert choose(hosts, ask(settings=msgspec.structs.replace(PLAIN, **weights))).name == best


def test_a_soft_policy_draws_the_servers_of_a_group_together_or_apart_and_forbids_nothing() -> None:
    hosts = [host("c1", 2000), host("c2", 1000), host("c3")]
    together = Group("soft-affinity", {"c1": 1, "c2": 2})
    apart = Group("soft-anti-affinity", {"c3": 1, "c2": 2})

    assert choose(hosts, ask(group=together)).name == "c2"
    assert choose(hosts, ask(group=apart)).name == "c1"
    assert choose(hosts[2:], ask(group=apart)).name == "c3"


def test_equal_hosts_are_taken_by_name_without_dice_and_by_the_dice_with_them() -> None:
    hosts = [host(f"c{n}") for n in range(9, 0, -1)]

    assert choose(hosts, ask()).name == "c1"
    drawn = [choose(hosts, ask(), random.Random(seed)).name for seed in range(50)]
    assert len(set(drawn)) > 4
    assert choose(hosts, ask(), random.Random(7)) == choose(hosts, ask(), random.Random(7))


def test_one_of_the_best_few_is_drawn_and_no_other() -> None:
    hosts = [host(f"c{n}", 100 * n) for n in range(9)]
    settings = msgspec.structs.replace(PLAIN, host_subset_size=3)

    drawn = {choose(hosts, ask(settings=settings), random.Random(seed)).name for seed in range(60)}

    assert drawn == {"c0", "c1", "c2"}


def test_memory_promised_a_moment_ago_counts_against_a_host_but_refuses_none() -> None:
    ranking = Ranking(PLAIN, [host("c1"), host("c2", 100)])

    ranking.promise("c1", 9000)
    assert choose_of(ranking, ask()).name == "c2"
    assert choose_of(ranking, ask(tried=["c2"])).name == "c1"
    ranking.promise("c1", -9000)
    assert choose_of(ranking, ask()).name == "c1"


def test_a_host_that_said_no_is_not_asked_again_and_a_filter_has_the_word_before_it() -> None:
    said = {"c1": "claim: it has not enough room left", "c2": "claim: it has not enough room left"}
    hosts = [host("c1"), host("c2", 8000), host("c3", 4000)]

    assert choose(hosts, ask(refused=said)).name == "c3"
    with pytest.raises(NoValidHost) as refused:
        choose(hosts[:2], ask(refused=said))

    assert refused.value.refusals == {"c1": said["c1"], "c2": "ram: 512 MB asked, 0 of 8000 free"}


def test_when_nobody_fits_every_host_says_why() -> None:
    hosts = [host("c1", 7900), host("c2", is_up=False), host("c3"), host("c4")]

    with pytest.raises(NoValidHost) as refused:
        choose(hosts, ask(tried=["c3"], ignore_hosts=("c4",)))

    assert refused.value.refusals == {
        "c1": "ram: 512 MB asked, 100 of 8000 free",
        "c2": "compute: the service is down",
        "c3": "retry: the build failed on this host already",
        "c4": "ignore_hosts: the request leaves this host out",
    }


def test_of_very_many_the_first_say_why_and_the_others_are_counted_by_filter() -> None:
    hosts = [host(f"c{n:04}", 8000, is_enabled=n % 2 == 0) for n in range(MOST_TOLD + 50)]

    with pytest.raises(NoValidHost) as refused:
        choose(hosts, ask())

    assert len(refused.value.refusals) == MOST_TOLD + 1
    assert list(refused.value.refusals.items())[-1] == ("50 more", "ram 25, compute 25")


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

    assert choose(hosts, ask(force_host="c2")).name == "c2"


@pytest.mark.parametrize(
    ("hosts", "more", "why"),
    [
        ([host("c1")], {}, "force_host: there is no such host"),
        ([host("c1"), host("c2", is_up=False)], {}, "compute: the service is down"),
        ([host("c1"), host("c2")], {"tried": ("c2",)}, "retry: the build failed on this host already"),
        ([host("c1"), host("c2")], {"refused": {"c2": "claim: full"}}, "claim: full"),
        ([host("c1"), host("c2")], {"ignore_hosts": ("c2",)}, "ignore_hosts: the request leaves this host out"),
    ],
)
def test_a_forced_host_must_be_there_and_not_have_failed(hosts: list[Host], more: dict[str, object], why: str) -> None:
    with pytest.raises(NoValidHost) as refused:
        choose(hosts, ask(force_host="c2", **more))  # type: ignore[arg-type]

    assert refused.value.refusals == {"c2": why}


@given(used=st.lists(st.integers(0, 8000), min_size=1, max_size=30), ram_mb=st.integers(1, 9000))
def test_the_chosen_host_always_has_room_and_nobody_has_more(used: list[int], ram_mb: int) -> None:
    hosts = [host(f"c{n}", ram_used) for n, ram_used in enumerate(used)]
    fits = [h for h in hosts if h.ram_mb_used + ram_mb <= 8000]

    if fits:
        assert choose(hosts, ask(ram_mb=ram_mb)).ram_mb_used == min(h.ram_mb_used for h in fits)
    else:
        with pytest.raises(NoValidHost):
            choose(hosts, ask(ram_mb=ram_mb))


def names(ranking: Ranking, count: int, **more: object) -> list[str]:
    settings = msgspec.structs.replace(PLAIN, cpu_allocation_ratio=1.0)
    question = ask(ram_mb=1000, disk_gb=10, settings=settings, **more)  # type: ignore[arg-type]
    return [chosen.name for chosen in choose_several(ranking, question, count)]


def test_several_are_spread_as_if_each_were_there_before_the_next_is_placed_and_nothing_stays() -> None:
    ranking = Ranking(PLAIN, [host("c1"), host("c2", ram_mb=7000)])

    assert names(ranking, 4) == ["c1", "c1", "c2", "c1"]
    assert names(ranking, 4) == ["c1", "c1", "c2", "c1"]
    assert {one.servers for one in ranking} == {0}


@pytest.mark.parametrize(
    ("narrow", "why"),
    [({"vcpus": 2}, "core"), ({"ram_mb": 2500}, "ram"), ({"disk_gb": 25}, "disk")],
)
def test_all_of_several_fit_or_none_and_whatever_runs_out_is_named(narrow: dict[str, int], why: str) -> None:
    ranking = Ranking(PLAIN, [host("c1", **narrow)])

    assert names(ranking, 2) == ["c1", "c1"]
    with pytest.raises(NoValidHost) as caught:
        names(ranking, 3)
    assert caught.value.refusals["c1"].startswith(f"{why}: ")
    assert names(ranking, 2) == ["c1", "c1"]


def test_several_of_one_group_keep_apart_from_each_other() -> None:
    ranking = Ranking(PLAIN, [host("c1"), host("c2", 3000), host("c3", 5000)])

    assert names(ranking, 2, group=Group("anti-affinity", {"c2": 1})) == ["c1", "c3"]
    assert names(ranking, 3, ignore_hosts=("c1",)) == ["c2", "c2", "c2"]
