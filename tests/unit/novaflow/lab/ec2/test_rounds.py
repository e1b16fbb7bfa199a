"""Rounds at the doors of a cloud that is a dictionary: how it is filled, and what makes a measurement void."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from novaflow.lab.ec2.doors import OpenStackDoor
from novaflow.lab.ec2.rounds import BOOT, Contestant, Plan, Void, fewest, measure

PLAN = Plan(instances=11, rounds=2, seconds=0.02, connections=(1, 2))


@dataclass
class Dictionary:
    """A cloud that remembers what was ordered; `shown` says which of these it lists."""

    shown: Callable[[list[str]], list[str]] = list
    servers: list[str] = field(default_factory=list)
    orders: int = 0
    status: int = 202  # of the answer to an order

    async def boot(self, _request: web.Request) -> web.Response:
        self.orders += 1
        self.servers.append(f"server-{self.orders}")
        return web.json_response({"server": {"id": self.servers[-1]}}, status=self.status)

    async def detail(self, _request: web.Request) -> web.Response:
        shown = [{"id": one, "status": "ACTIVE"} for one in self.shown(self.servers)]
        return web.json_response({"servers": shown})

    @asynccontextmanager
    async def open(self, name: str) -> AsyncIterator[Contestant]:
        app = web.Application()
        app.add_routes([web.post("/servers", self.boot), web.get("/servers/detail", self.detail)])
        async with TestServer(app) as server:
            door = OpenStackDoor(f"http://{server.host}:{server.port}", {}, "image", "flavor")
            yield Contestant(name, door, no_cpu)


def no_cpu() -> Mapping[str, float]:
    return {"one": 0.0}


def quiet(_line: str) -> None:
    return


async def test_every_cloud_has_all_its_servers_in_the_end_and_everybody_had_every_turn() -> None:
    first, second = Dictionary(), Dictionary()

    async with first.open("first") as one, second.open("second") as other:
        found = await measure([one, other], PLAN, quiet)

    assert (first.orders, second.orders) == (11, 11)
    turns = Counter((each.contestant, each.act, each.connections, each.round) for each in found)
    assert set(turns.values()) == {1}
    assert len(turns) == 2 * 2 * 2 * 2
    for each in found:
        assert each.calls > 0
        assert each.per_s > 0
    assert sum(each.calls for each in found if (each.contestant, each.act) == (one.name, BOOT)) == 10


async def test_an_answer_without_all_servers_makes_it_void() -> None:
    forgetful = Dictionary(shown=lambda servers: servers[:10])

    async with forgetful.open("forgetful") as contestant:
        with pytest.raises(Void, match="forgetful, OpenStack listed 10 of 11 servers"):
            await measure([contestant], PLAN, quiet)


async def test_a_server_listed_twice_counts_once() -> None:
    repetitive = Dictionary(shown=lambda servers: [*servers[:10], *servers[:1]])

    async with repetitive.open("repetitive") as contestant:
        with pytest.raises(Void, match="listed 10 of 11"):
            await measure([contestant], PLAN, quiet)


async def test_an_error_is_no_answer() -> None:
    async with Dictionary(status=503).open("full") as contestant:
        with pytest.raises(Void, match="503"):
            await measure([contestant], PLAN, quiet)


def test_both_doors_of_a_cloud_have_something_to_order_at_every_turn() -> None:
    door = OpenStackDoor("http://nowhere", {}, "", "")
    contestants = [
        Contestant("cloud", door, no_cpu),
        Contestant("cloud", door, no_cpu),
        Contestant("moto", door, no_cpu),
    ]

    assert fewest(contestants, PLAN) == 2 * (2 * 2 + 1)
