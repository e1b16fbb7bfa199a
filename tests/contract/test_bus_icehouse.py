"""Delivery as Nova's in Icehouse, over memory and RabbitMQ: fast, and forgetful."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from rpc.bus import BusSettings
from rpc.errors import CallTimeout
from tests.support.bus import Answer, Ask, Crowd, Log, Place, World, add_one, until


@pytest.fixture
async def world(place: Place) -> AsyncIterator[World]:
    world = World(place, BusSettings(delivery="icehouse", retries=2, retry_delay=0.02, drain_timeout=5.0, prefetch=3))
    yield world
    await world.close()


async def test_calls_casts_and_fanouts_arrive(world: World) -> None:
    done, heard = Log(), Log()
    await world.serve(add=add_one, do=done, hear=heard, host="h1")
    client = await world.bus()

    answer = await client.call(world.add.at("h1"), Ask(number=1))
    await client.cast(world.do, Ask(number=2))
    await client.fanout(world.hear, Ask(number=3))

    assert answer == Answer(number=2)
    assert await done.until(bool) == [2]
    assert await heard.until(bool) == [3]


async def test_a_cast_to_nobody_is_lost_without_a_word(world: World) -> None:
    client = await world.bus()
    await client.cast(world.do, Ask(number=1))
    await client.cast(world.do.at("nowhere"), Ask(number=2))

    log = Log()
    await world.serve(do=log)
    await client.cast(world.do, Ask(number=3))

    assert await log.until(bool) == [3]


async def test_a_fanout_when_its_last_server_has_gone_costs_nobody_the_connection(world: World) -> None:
    transport = await world.connect()
    client = await world.bus(transport)
    before, after = Log(), Log()
    server = await world.serve(hear=before)
    await client.fanout(world.hear, Ask(number=1))
    await before.until(bool)

    await server.close()
    await client.fanout(world.hear, Ask(number=2))
    await world.serve(hear=after)
    await client.fanout(world.hear, Ask(number=3))

    assert await after.until(bool) == [3]
    assert transport.reconnects == 0


async def test_a_call_to_nobody_times_out(world: World) -> None:
    client = await world.bus()

    with pytest.raises(CallTimeout):
        await client.call(world.add, Ask(number=1), timeout=0.2)


async def test_a_cast_that_fails_is_gone(world: World) -> None:
    log = Log()

    async def fail(ask: Ask) -> None:
        await log.note(ask.number)
        raise RuntimeError("no")

    server = await world.serve(do=fail)
    client = await world.bus()

    await client.cast(world.do, Ask(number=1))
    await client.cast(world.do, Ask(number=2))
    await until(lambda: server.counts["failed"] == 2)

    assert log.numbers == [1, 2]
    assert (server.counts["retried"], server.counts["dead"]) == (0, 0)


async def test_a_message_in_work_is_gone_with_the_connection(world: World) -> None:
    started, again = Log(), asyncio.Event()

    async def work(ask: Ask) -> None:
        await started.note(ask.number)
        await again.wait()

    await world.serve(do=work)
    client = await world.bus()
    await client.cast(world.do, Ask(number=1))
    await started.until(bool)

    await world.place.sever()
    # An answered call proves that the connections are back and whatever would be redelivered was.
    await world.serve(add=add_one, host="other")
    await client.call(world.add.at("other"), Ask(number=0))
    await client.cast(world.do, Ask(number=2))
    again.set()

    assert await started.until(lambda numbers: 2 in numbers) == [1, 2]


async def test_no_more_handlers_run_than_prefetch_allows_though_all_is_acknowledged(world: World) -> None:
    crowd = Crowd()
    await world.serve(do=crowd)
    client = await world.bus()
    await asyncio.gather(*(client.cast(world.do, Ask(number=n)) for n in range(12)))
    await crowd.done.until(lambda numbers: len(numbers) == 12)

    assert crowd.most == 3
