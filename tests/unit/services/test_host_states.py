"""Host states read for many at once, and what was promised since."""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

import pytest

from novaflow.config import Scheduler
from novaflow.db.host_changes import Changes, SeenHost, Work
from novaflow.hosts import Aggregate, Host, HostResources
from services.host_states import EVERYTHING_EVERY, GIVE_UP_AGE, OVERLAP, HostStates
from tests.support.clocks import ManualClock

START = datetime(2026, 5, 1, 12, tzinfo=UTC)
DOWN_TIME = 60.0


class Table:
    """Hosts, as strict as the real table: a change is shown to who asks from its moment on. Each read waits for the test."""

    def __init__(self, *names: str) -> None:
        self.clock = ManualClock(START)
        self.rows: dict[str, tuple[Host, datetime]] = {}
        self.beaten: dict[str, datetime] = {}
        self.asked: list[str] = []
        self.go = asyncio.Event()
        self.go.set()
        self.trouble: list[Exception] = []
        for name in names:
            self.change(name)
            self.beaten[name] = START

    def change(self, name: str, ram_mb_used: int = 0) -> None:
        resources = HostResources(vcpus=1, ram_mb=8000, disk_gb=1)
        self.rows[name] = (Host(id=name, name=name, resources=resources, ram_mb_used=ram_mb_used), self.clock.now())

    async def all(self) -> Changes:
        return await self._read("all", datetime.min.replace(tzinfo=UTC))

    async def since(self, moment: datetime) -> Changes:
        return await self._read("since", moment)

    async def beats(self) -> Iterable[tuple[str, datetime]]:
        self.asked.append("beats")
        return list(self.beaten.items())

    async def aggregates(self) -> Mapping[str, tuple[Aggregate, ...]]:
        return {}

    async def work(self, names: Iterable[str] | None = None) -> Mapping[str, Work]:
        self.asked.append("work")
        return {name: Work(1, ("1",)) for name in (self.rows if names is None else names)}

    async def _read(self, what: str, moment: datetime) -> Changes:
        self.asked.append(what)
        at = self.clock.now()
        seen = [SeenHost(host, self.beaten.get(host.name)) for host, when in self.rows.values() if when >= moment]
        await self.go.wait()
        if self.trouble:
            raise self.trouble.pop()
        return Changes(at, seen, "")


def states_of(table: Table, settings: Scheduler | None = None) -> HostStates:
    return HostStates(table, settings or Scheduler(), table.clock, DOWN_TIME)


async def order(states: HostStates) -> list[str]:
    return [host.name for host in await states.fresh()]


async def living(states: HostStates) -> list[str]:
    return [host.name for host in await states.fresh() if host.is_up]


async def test_who_asks_while_a_read_runs_is_served_by_the_next_one_and_shares_it() -> None:
    table = Table("c1")
    table.go.clear()
    states = states_of(table)
    first = asyncio.create_task(order(states))
    await asyncio.sleep(0)
    others = [asyncio.create_task(order(states)) for _ in range(10)]
    await asyncio.sleep(0)
    table.go.set()

    assert await first == ["c1"]
    assert await asyncio.gather(*others) == [["c1"]] * 10
    assert table.asked == ["all", "since"]


async def test_who_asks_later_sees_what_has_changed_meanwhile_and_only_that_is_read() -> None:
    table = Table("c1", "c2")
    states = states_of(table)
    assert await order(states) == ["c1", "c2"]

    table.clock.advance(2 * OVERLAP)
    table.change("c1", 500)

    assert await order(states) == ["c2", "c1"]
    assert table.asked == ["all", "since"]


async def test_a_change_that_is_seen_after_later_ones_is_not_missed() -> None:
    table = Table("c1", "c2", "c3")
    states = states_of(table)
    table.clock.advance(timedelta(seconds=10))
    began = table.clock.now()
    table.clock.advance(OVERLAP / 2)
    table.change("c3", 900)
    assert await order(states) == ["c1", "c2", "c3"]

    table.rows["c1"] = (Host(id="c1", name="c1", resources=table.rows["c2"][0].resources, ram_mb_used=500), began)

    assert await order(states) == ["c2", "c1", "c3"]


async def test_everything_is_read_again_now_and_then() -> None:
    table = Table("c1", "c2")
    states = states_of(table)
    await states.fresh()
    del table.rows["c2"]
    assert await order(states) == ["c1", "c2"]

    table.clock.advance(timedelta(seconds=EVERYTHING_EVERY))

    assert await order(states) == ["c1"]


async def test_before_a_build_is_given_up_everything_is_read_unless_it_just_was() -> None:
    table = Table("c1")
    states = states_of(table)
    await states.fresh()
    assert await states.complete() is None

    table.clock.advance(timedelta(seconds=GIVE_UP_AGE))
    table.rows["late"] = (table.rows["c1"][0], START - timedelta(hours=1))

    assert await states.complete() is not None
    assert table.asked == ["all", "all"]


async def test_a_host_that_dies_is_known_when_its_limit_is_over_whatever_was_read_when() -> None:
    table = Table("c1", "c2")
    states = states_of(table)
    assert await living(states) == ["c1", "c2"]
    table.clock.advance(timedelta(seconds=30))
    table.beaten["c2"] = table.clock.now()
    assert await living(states) == ["c1", "c2"]

    table.clock.advance(timedelta(seconds=DOWN_TIME - 30))
    assert await living(states) == ["c1", "c2"]
    table.clock.advance(timedelta(microseconds=1))
    assert await living(states) == ["c2"]
    table.clock.advance(timedelta(seconds=30))
    assert await living(states) == []


async def test_signs_of_life_are_read_seldom_and_a_host_that_comes_back_is_seen_by_them() -> None:
    table = Table("c1")
    states = states_of(table)
    table.clock.advance(timedelta(seconds=2 * DOWN_TIME))
    assert await living(states) == []
    table.beaten["c1"] = table.clock.now()
    for _ in range(5):
        assert await living(states) == []

    table.clock.advance(timedelta(seconds=DOWN_TIME / 4))

    assert await living(states) == ["c1"]
    assert table.asked.count("beats") == 1


async def test_what_servers_do_is_read_only_where_somebody_asks() -> None:
    table, another = Table("c1"), Table("c1")
    (host,) = await states_of(table).fresh()
    asking = states_of(another, Scheduler(filters=("io_ops",)))
    (busy,) = await asking.fresh()
    another.change("c1", 5)
    await asking.fresh()

    assert (host.io_ops, table.asked) == (0, ["all"])
    assert (busy.io_ops, busy.flavor_ids, another.asked) == (1, ("1",), ["all", "work", "since", "work"])


async def test_a_promise_counts_until_a_read_that_began_after_its_claim() -> None:
    table = Table("c1", "c2")
    states = states_of(table)
    await states.fresh()

    with states.promise("c1", 512):
        assert await order(states) == ["c2", "c1"]
    # Nothing has shown the claim yet.
    assert [host.name for host in states.ranking] == ["c2", "c1"]

    assert await order(states) == ["c1", "c2"]


async def test_a_read_that_fails_fails_for_who_asked_and_not_for_the_next() -> None:
    table = Table("c1")
    table.trouble = [OSError("the database is away")]
    states = states_of(table)

    results = await asyncio.gather(order(states), order(states), return_exceptions=True)

    assert isinstance(results[0], OSError)
    assert results[1] == ["c1"]


async def test_what_was_promised_is_still_promised_after_a_read_that_failed() -> None:
    table = Table("c1", "c2")
    states = states_of(table)
    await states.fresh()
    with states.promise("c1", 512):
        pass
    table.trouble = [OSError("the database is away")]

    with pytest.raises(OSError, match="away"):
        await states.fresh()

    assert [host.name for host in states.ranking] == ["c2", "c1"]
