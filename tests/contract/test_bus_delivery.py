"""Where messages go, in which order and how many at a time: memory and RabbitMQ alike."""

import asyncio
from dataclasses import replace

import pytest

from rpc.errors import BadMessage, Unroutable
from tests.support.bus import Ask, Crowd, Log, World, add_one, until


async def test_a_message_for_a_host_reaches_that_host_alone(world: World) -> None:
    one, two = Log(), Log()
    await world.serve(do=one, host="one")
    await world.serve(do=two, host="two.example.org")
    client = await world.bus()

    for n in range(5):
        await client.cast(world.do.at("one"), Ask(number=n))
        await client.cast(world.do.at("two.example.org"), Ask(number=-n))

    assert await one.until(lambda numbers: len(numbers) == 5) == [0, 1, 2, 3, 4]
    assert await two.until(lambda numbers: len(numbers) == 5) == [0, -1, -2, -3, -4]


@pytest.mark.parametrize("host", ["nowhere", "dead", "*", "#", "", "x" * 300])
async def test_a_host_that_never_was_is_unroutable(world: World, host: str) -> None:
    await world.serve(add=add_one, do=Log(), host="here")
    client = await world.bus()

    with pytest.raises(Unroutable):
        await client.cast(world.do.at(host), Ask(number=1))
    with pytest.raises(Unroutable):
        await client.call(world.add.at(host), Ask(number=1))


async def test_a_cast_to_a_topic_nobody_serves_yet_waits_for_its_first_server(world: World) -> None:
    client = await world.bus()
    for n in range(3):
        await client.cast(world.do, Ask(number=n))

    log = Log()
    await world.serve(do=log)

    assert await log.until(lambda numbers: len(numbers) == 3) == [0, 1, 2]


async def test_messages_for_a_host_wait_while_its_worker_is_away(world: World) -> None:
    before, after = Log(), Log()
    worker = await world.serve(do=before, host="h1")
    client = await world.bus()
    await worker.close()

    await client.cast(world.do.at("h1"), Ask(number=1))
    await world.serve(do=after, host="h1")

    assert await after.until(lambda numbers: len(numbers) == 1) == [1]
    assert before.numbers == []


async def test_servers_of_a_topic_share_its_messages(world: World) -> None:
    one, two = Log(), Log()
    await world.serve(do=one)
    await world.serve(do=two)
    client = await world.bus()

    for n in range(20):
        await client.cast(world.do, Ask(number=n))
    await until(lambda: len(one.numbers) + len(two.numbers) == 20)

    assert sorted(one.numbers + two.numbers) == list(range(20))
    assert len(one.numbers) == len(two.numbers) == 10


async def test_a_fanout_reaches_every_server_that_is_there(world: World) -> None:
    client = await world.bus()
    await client.fanout(world.hear, Ask(number=0))
    one, two, gone = Log(), Log(), Log()
    await world.serve(hear=one, host="one")
    await world.serve(hear=two)
    await (await world.serve(hear=gone)).close()

    await client.fanout(world.hear, Ask(number=1))

    assert await one.until(lambda numbers: bool(numbers)) == [1]
    assert await two.until(lambda numbers: bool(numbers)) == [1]
    assert gone.numbers == []


async def test_casts_of_one_sender_arrive_in_order(world: World) -> None:
    log = Log()
    await world.serve(do=log)
    client = await world.bus()

    for n in range(50):
        await client.cast(world.do, Ask(number=n))

    assert await log.until(lambda numbers: len(numbers) == 50) == list(range(50))


async def test_no_more_messages_are_under_way_than_prefetch_allows(world: World) -> None:
    crowd = Crowd()
    await world.serve(do=crowd, settings=replace(world.settings, prefetch=4))
    client = await world.bus()
    await asyncio.gather(*(client.cast(world.do, Ask(number=n)) for n in range(24)))
    await crowd.done.until(lambda numbers: len(numbers) == 24)

    assert crowd.most == 4


async def test_a_message_over_the_limit_is_refused_where_it_is_sent(world: World) -> None:
    client = await world.bus(settings=replace(world.settings, max_message_bytes=1000))

    with pytest.raises(BadMessage, match="the limit is 1000"):
        await client.cast(world.do, Ask(number=1, text="x" * 1000))


async def test_a_server_of_many_hosts_hears_what_is_for_any_of_them_and_each_once(world: World) -> None:
    hosts = [f"host-{number}" for number in range(50)]
    here, there = Log(), Log()
    server = await world.bus()
    server.on_cast(world.do, here)
    server.on_call(world.add, add_one)
    await server.serve_hosts(world.topic, hosts)
    await server.serve_hosts(world.topic, hosts[:10])
    await world.serve(do=there, host="another")
    client = await world.bus()

    await asyncio.gather(*(client.cast(world.do.at(host), Ask(number=n)) for n, host in enumerate(hosts)))
    await client.cast(world.do.at("another"), Ask(number=99))
    answers = await asyncio.gather(*(client.call(world.add.at(host), Ask(number=1)) for host in hosts))

    assert sorted(await here.until(lambda numbers: len(numbers) == 50)) == list(range(50))
    assert await there.until(bool) == [99]
    assert {answer.number for answer in answers} == {2}
    with pytest.raises(Unroutable):
        await client.cast(world.do.at("host-50"), Ask(number=1))


async def test_hosts_of_one_server_are_served_again_after_a_lost_connection(world: World) -> None:
    hosts = [f"host-{number}" for number in range(50)]
    log = Log()
    server = await world.bus()
    server.on_cast(world.do, log)
    await server.serve_hosts(world.topic, hosts)
    client = await world.bus()

    await world.place.sever()
    for number, host in enumerate(hosts):
        await client.cast(world.do.at(host), Ask(number=number))

    assert set(await log.until(lambda numbers: len(set(numbers)) == 50)) == set(range(50))
