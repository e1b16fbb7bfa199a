"""The bus on uvloop, which is what processes run on, against RabbitMQ."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from rpc.bus import BusSettings
from rpc.errors import Unroutable
from tests.support.bus import Answer, Ask, Log, RabbitPlace, Work, World, add_one, until
from tests.support.rabbitmq import RabbitMQ

SETTINGS = BusSettings(retries=2, retry_delay=0.02, drain_timeout=5.0)

Run = Callable[[Callable[[World], Awaitable[None]]], None]


@pytest.fixture(params=[False, True], ids=["hot path", "plain"])
def run(request: pytest.FixtureRequest, rabbitmq: RabbitMQ) -> Run:
    """Runs a scenario on a uvloop of its own."""

    async def play(scenario: Callable[[World], Awaitable[None]]) -> None:
        assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
        world = World(RabbitPlace(rabbitmq, plain=request.param), SETTINGS)
        try:
            await scenario(world)
        finally:
            await world.close()

    def run(scenario: Callable[[World], Awaitable[None]]) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(play(scenario))

    return run


def test_calls_casts_and_fanouts_arrive(run: Run) -> None:
    async def scenario(world: World) -> None:
        done, heard = Log(), Log()
        await world.serve(add=add_one, do=done, hear=heard, host="h1")
        client = await world.bus()

        answers = await asyncio.gather(*(client.call(world.add.at("h1"), Ask(number=n)) for n in range(50)))
        await asyncio.gather(*(client.cast(world.do, Ask(number=n)) for n in range(50)))
        await client.fanout(world.hear, Ask(number=3))
        with pytest.raises(Unroutable):
            await client.cast(world.do.at("nowhere"), Ask(number=1))
        with pytest.raises(Unroutable):
            await client.call(world.add.at("nowhere"), Ask(number=1))

        assert answers == [Answer(number=n + 1) for n in range(50)]
        assert await done.until(lambda numbers: len(numbers) == 50) == list(range(50))
        assert await heard.until(bool) == [3]

    run(scenario)


def test_messages_of_many_frames_arrive_whole(run: Run) -> None:
    async def scenario(world: World) -> None:
        await world.serve(add=add_one)
        client = await world.bus()
        texts = [chr(ord("a") + n) * (200_000 * n) for n in range(6)]

        answers = await asyncio.gather(*(client.call(world.add, Ask(number=0, text=text)) for text in texts))

        assert [answer.text for answer in answers] == texts

    run(scenario)


def test_a_lost_connection_comes_back_with_all_that_was_under_way(run: Run) -> None:
    async def scenario(world: World) -> None:
        work = Work()
        await world.serve(add=add_one, do=work)
        transport = await world.connect()
        client = await world.bus(transport)
        await client.cast(world.do, Ask(number=1))
        await work.started.until(bool)

        await world.place.sever()
        casts = [asyncio.create_task(client.cast(world.do, Ask(number=n))) for n in range(2, 22)]
        assert (await client.call(world.add, Ask(number=1))).number == 2
        await asyncio.gather(*casts)
        work.release.set()

        assert set(await work.finished.until(lambda numbers: len(set(numbers)) == 21)) == set(range(1, 22))
        await until(lambda: transport.is_connected)
        assert transport.reconnects >= 1

    run(scenario)
