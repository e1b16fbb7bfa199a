"""What outlives a lost connection, and how a bus closes: memory and RabbitMQ alike."""

import asyncio
from dataclasses import replace

import pytest

from rpc.errors import NotConnected
from tests.support.bus import PATIENCE, Answer, Ask, Log, Work, World, add_one, until


async def test_a_lost_connection_cancels_no_handler_and_its_message_comes_again(world: World) -> None:
    work = Work()
    server = await world.serve(do=work, host="h1")
    client = await world.bus()
    await client.cast(world.do.at("h1"), Ask(number=1))
    await work.started.until(lambda numbers: len(numbers) == 1)

    await world.place.sever()
    await work.started.until(lambda numbers: len(numbers) == 2)
    work.release.set()

    assert await work.finished.until(lambda numbers: len(numbers) == 2) == [1, 1]
    assert server.counts["redelivered"] == 1


async def test_after_a_lost_connection_everything_is_as_before(world: World) -> None:
    log, heard = Log(), Log()
    await world.serve(add=add_one, do=log, hear=heard, host="h1")
    client = await world.bus()
    assert (await client.call(world.add, Ask(number=1))).number == 2

    for n in range(2):
        await world.place.sever()
        assert (await client.call(world.add.at("h1"), Ask(number=n))).number == n + 1
        await client.cast(world.do, Ask(number=n))
    await client.fanout(world.hear, Ask(number=7))

    assert await log.until(lambda numbers: len(numbers) >= 2) == [0, 1]
    assert await heard.until(bool) == [7]


async def test_a_call_whose_connection_is_lost_is_asked_again(world: World) -> None:
    asked = Log()
    release = asyncio.Event()

    async def answer(ask: Ask) -> Answer:
        await asked.note(ask.number)
        await release.wait()
        return Answer(number=ask.number + 1)

    await world.serve(add=answer)
    client = await world.bus()
    call = asyncio.create_task(client.call(world.add, Ask(number=1)))
    await asked.until(bool)

    await world.place.sever()
    await until(lambda: client.counts["asked_again"] == 1)
    release.set()

    assert (await call).number == 2


async def test_closing_lets_a_running_handler_finish(world: World) -> None:
    started, finished = Log(), Log()

    async def work(ask: Ask) -> None:
        await started.note(ask.number)
        await asyncio.sleep(0.1)
        await finished.note(ask.number)

    server = await world.serve(do=work)
    client = await world.bus()
    await client.cast(world.do, Ask(number=1))
    await started.until(bool)

    await server.close()
    after = Log()
    await world.serve(do=after)
    await client.cast(world.do, Ask(number=2))

    assert finished.numbers == [1]
    assert await after.until(bool) == [2]


async def test_a_handler_that_outlives_the_drain_is_cancelled_and_its_message_given_back(world: World) -> None:
    started, after = Log(), Log()

    async def hang(ask: Ask) -> None:
        await started.note(ask.number)
        await asyncio.Event().wait()

    server = await world.serve(do=hang, settings=replace(world.settings, drain_timeout=0.05))
    client = await world.bus()
    await client.cast(world.do, Ask(number=1))
    await started.until(bool)

    await server.close()
    await world.serve(do=after)

    assert await after.until(bool) == [1]


async def test_a_closing_server_gives_a_waiting_retry_back_at_once(world: World) -> None:
    failed, after = Log(), Log()

    async def fail(ask: Ask) -> None:
        await failed.note(ask.number)
        raise RuntimeError("no")

    server = await world.serve(do=fail, settings=replace(world.settings, retry_delay=3600.0))
    client = await world.bus()
    await client.cast(world.do, Ask(number=1))
    await failed.until(bool)

    async with asyncio.timeout(PATIENCE):
        await server.close()
    await world.serve(do=after)

    assert await after.until(bool) == [1]


async def test_a_closed_bus_asks_nothing_more(world: World) -> None:
    client = await world.bus()
    await client.close()

    with pytest.raises(NotConnected, match="closed"):
        await client.cast(world.do, Ask(number=1))
    with pytest.raises(NotConnected, match="closed"):
        await client.call(world.add, Ask(number=1))
