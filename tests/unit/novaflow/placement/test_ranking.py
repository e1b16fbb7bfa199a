"""Hosts kept in order: whatever happens to them, a decision is the one that a straightforward loop would make."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novaflow.config import Scheduler
from novaflow.errors import NoValidHost
from novaflow.hosts import Host
from novaflow.lab.schedule.straightforward import biggest_of, passing, weighed
from novaflow.placement import ranking as rankings
from novaflow.placement.asking import Ask, Filter, Group
from novaflow.placement.choose import choose, fitting
from novaflow.placement.filters import FILTERS
from novaflow.placement.ranking import Ranking
from tests.support.placement import PLAIN, aggregate, ask, host

NAMES = [f"c{n}" for n in range(12)]
AGGREGATES = [(), (aggregate("west", ssd="true"),), (aggregate(filter_tenant_id="q", ram_allocation_ratio="0.5"),)]
ARCHITECTURES = ["x86_64", "aarch64"]
POLICIES = ["affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity"]

hosts = st.builds(
    lambda name, ram, used, zone, more: host(
        name,
        used[0],
        ram_mb=ram,
        vcpus_used=used[1],
        disk_gb_used=used[2],
        servers=used[3],
        io_ops=used[3],
        availability_zone=zone,
        cpu_info={"arch": more[0]},
        is_up=more[1],
        is_enabled=more[2],
        aggregates=more[3],
        flavor_ids=more[4],
    ),
    st.sampled_from(NAMES),
    st.sampled_from([4000, 8000, 16000]),
    st.tuples(st.sampled_from([0, 500, 3600, 7500]), st.integers(0, 8), st.integers(0, 100), st.integers(0, 9)),
    st.sampled_from(["nova", "west"]),
    st.tuples(
        st.sampled_from(ARCHITECTURES),
        st.sampled_from([True, True, True, False]),
        st.sampled_from([True, True, True, False]),
        st.sampled_from(AGGREGATES),
        st.sampled_from([(), ("1",), ("2",)]),
    ),
)
some_names = st.lists(st.sampled_from(NAMES), max_size=3, unique=True)
weights = st.sampled_from([0.0, 1.0, -1.0])
tunings = st.builds(
    Scheduler,
    filters=st.lists(st.sampled_from(list(FILTERS)), unique=True).map(tuple),
    ram_allocation_ratio=st.just(1.0),
    ram_weight=weights,
    cpu_weight=weights,
    disk_weight=weights,
    io_ops_weight=weights,
    host_subset_size=st.integers(1, 4),
    isolated_hosts=some_names.map(tuple),
)


@st.composite
def questions(draw: st.DrawFn, tuning: Scheduler) -> Ask:
    names = draw(some_names)
    group = Group(
        draw(st.sampled_from(POLICIES)), {name: n + 1 for n, name in enumerate(names)}, draw(st.integers(1, 3))
    )
    hints = draw(
        st.sampled_from(
            [
                {},
                {"same_host": "s0"},
                {"different_host": ("s0", "s1")},
                {"query": '[">", "$free_ram_mb", 2000]'},
                {"build_near_host_ip": "10.0.0.1"},
            ]
        )
    )
    return ask(
        id=draw(st.sampled_from(["1", "2"])),
        ram_mb=draw(st.sampled_from([1, 500, 4000])),
        vcpus=draw(st.integers(1, 4)),
        disk_gb=draw(st.sampled_from([1, 50])),
        extra_specs=draw(st.sampled_from([{}, {"aggregate_instance_extra_specs:ssd": "true"}, {"vcpus_total": "= 4"}])),
        properties=draw(st.sampled_from([None, {}, {"hw_architecture": "aarch64"}, {"ssd": "false"}])),
        availability_zone=draw(st.sampled_from(["", "", "west"])),
        ignore_hosts=tuple(draw(some_names)),
        tried=draw(some_names),
        refused=dict.fromkeys(draw(some_names), "claim: full"),
        group=draw(st.sampled_from([None, group])),
        homes={f"s{n}": name for n, name in enumerate(draw(some_names))},
        hints=hints,
        settings=tuning,
    )


@settings(max_examples=200, deadline=None)
@given(data=st.data(), tuning=tunings, first=st.lists(hosts, unique_by=lambda one: one.name), seed=st.integers(0, 9))
def test_through_all_that_happens_it_decides_as_a_straightforward_loop_does(
    data: st.DataObject, tuning: Scheduler, first: list[Host], seed: int
) -> None:
    dice = random.Random(seed)
    ranking = Ranking(tuning, first, dice)
    now = {one.name: one for one in first}
    promised: dict[str, int] = {}
    for _ in range(data.draw(st.integers(1, 6))):
        happen(data, ranking, now, promised)
        check(ranking, data.draw(questions(tuning)), now, promised, dice)


def happen(data: st.DataObject, ranking: Ranking, now: dict[str, Host], promised: dict[str, int]) -> None:
    what = data.draw(st.sampled_from(["put", "drop", "replace", "promise", "nothing"]))
    if what == "put":
        one = data.draw(hosts)
        now[one.name] = one
        ranking.put(one)
    elif what == "drop":
        name = data.draw(st.sampled_from(NAMES))
        now.pop(name, None)
        ranking.drop(name)
    elif what == "replace":
        kept = [one for one in now.values() if data.draw(st.booleans())]
        others = data.draw(st.lists(hosts, max_size=3))
        now.clear()
        now.update({one.name: one for one in [*kept, *others]})
        ranking.replace(now.values())
    elif what == "promise":
        name, ram_mb = data.draw(st.sampled_from(NAMES)), data.draw(st.sampled_from([500, -500, 100]))
        promised[name] = promised.get(name, 0) + ram_mb
        ranking.promise(name, ram_mb)


def check(ranking: Ranking, question: Ask, now: dict[str, Host], promised: dict[str, int], dice: random.Random) -> None:
    accepted = passing(now.values(), question)
    in_order = weighed(accepted, question, ranking.biggest, promised)
    found = list(fitting(ranking, question))
    weight_of = {one.name: wanted for wanted, one in in_order}
    assert {one.name for one in found} == weight_of.keys()
    assert all(one == now[one.name] for one in found)
    assert [weight_of[one.name] for one in found] == pytest.approx([wanted for wanted, _ in in_order])
    if not accepted:
        with pytest.raises(NoValidHost) as refused:
            choose(ranking, question, dice)
        assert refused.value.refusals.keys() == now.keys()
        return
    last_of_best = in_order[min(len(in_order), question.settings.host_subset_size) - 1][0]
    assert weight_of[choose(ranking, question, dice).name] >= last_of_best - 1e-9


def test_weights_are_shares_of_the_biggest_host_that_is_there() -> None:
    ranking = Ranking(PLAIN, [host("c1")])
    ranking.put(host("c2", ram_mb=16000, vcpus=2))

    assert ranking.biggest == biggest_of(ranking) == (4, 16000, 100)
    ranking.replace([host("c1")])
    assert ranking.biggest == (4, 8000, 100)


def test_what_a_filter_said_is_remembered_until_the_host_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    counting = Filter("counting", lambda _ask: lambda host: asked.append(host.name), lambda ask: ask.spec.flavor.ram_mb)
    monkeypatch.setattr("novaflow.placement.choose.named", lambda _names: [counting])
    ranking = Ranking(PLAIN, [host("c1"), host("c2"), host("c3")])

    list(fitting(ranking, ask()))
    list(fitting(ranking, ask(project_id="another", vcpus=2)))
    assert asked == ["c1", "c2", "c3"]

    ranking.put(host("c2", 1))
    list(fitting(ranking, ask()))
    assert asked == ["c1", "c2", "c3", "c2"]
    list(fitting(ranking, ask(ram_mb=1)))
    assert len(asked) == 7


def test_only_so_many_kinds_of_asks_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rankings, "KINDS", 2)
    ranking = Ranking(PLAIN, [host()])

    first = ranking.answers("a")
    ranking.answers("b")
    assert ranking.answers("a") is first
    ranking.answers("c")
    assert ranking.answers("a") is first
    assert ranking.answers("b") == bytearray(1)
    ranking.put(host("c2"))
    assert len(ranking.answers("a")) == 2
