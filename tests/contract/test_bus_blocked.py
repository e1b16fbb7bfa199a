"""A broker short of memory tells publishers to wait (connection.blocked). They do, nothing is lost, and consumers go on."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from rpc.address import Address
from rpc.amqp import AmqpTransport
from rpc.bus import BusSettings
from rpc.errors import BusError, NotConnected
from rpc.transport import Transport
from tests.support.bus import PATIENCE, Answer, Ask, Log, RabbitPlace, World, add_one
from tests.support.rabbitmq import RabbitMQ, short_of_memory, until_blocked

SETTINGS = BusSettings(drain_timeout=5.0, retry_delay=0.02)


class Quick(RabbitPlace):
    """Heartbeats so frequent that a connection without any is given up within seconds."""

    def __init__(self, node: RabbitMQ, *, plain: bool) -> None:
        super().__init__(node)
        self._address = Address.parse(f"{node.url}?heartbeat=1")
        self._plain = plain

    async def connect(self, settings: BusSettings) -> Transport:
        return await AmqpTransport.open(self._address, settings, plain=self._plain)


@pytest.fixture(params=[False, True], ids=["our own path", "aiormq's path"])
def plain(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
async def world(rabbitmq: RabbitMQ, plain: bool) -> AsyncIterator[World]:
    world = World(RabbitPlace(rabbitmq, plain=plain), SETTINGS)
    yield world
    await world.close()


async def until_settled(node: RabbitMQ, queue: str) -> None:
    """Wait until the broker has an acknowledgement for everything in a queue."""
    async with asyncio.timeout(PATIENCE):
        while [queue, "0"] not in [
            line.split()
            for line in (await node.ctl("list_queues", "--no-table-headers", "name", "messages")).splitlines()
        ]:
            await asyncio.sleep(0.1)


async def test_publishers_wait_for_the_all_clear_and_nothing_is_lost(world: World, rabbitmq: RabbitMQ) -> None:
    log = Log()
    await world.serve(do=log)
    first, second = await world.bus(), await world.bus()
    await first.cast(world.do, Ask(number=100))

    async with short_of_memory(rabbitmq):
        waiting = [
            asyncio.create_task(bus.cast(world.do, Ask(number=number)))
            for number in range(20)
            for bus in (first if number % 2 else second,)
        ]
        await until_blocked(rabbitmq, 2)
        late = asyncio.create_task(first.cast(world.do, Ask(number=20)))
        await asyncio.sleep(0.5)
        assert not any(task.done() for task in (*waiting, late))
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*waiting, late)

    numbers = await log.until(lambda numbers: len(numbers) == 22)
    assert sorted(numbers) == [*range(21), 100]


async def test_consumers_go_on_and_acknowledge_while_publishers_wait(world: World, rabbitmq: RabbitMQ) -> None:
    gate, log = asyncio.Event(), Log()

    async def after_the_gate(ask: Ask) -> None:
        await gate.wait()
        await log(ask)

    await world.serve(do=after_the_gate, settings=replace(SETTINGS, prefetch=5))
    publisher = await world.bus()
    for number in range(30):
        await publisher.cast(world.do, Ask(number=number))

    async with short_of_memory(rabbitmq):
        waiting = asyncio.create_task(publisher.cast(world.do, Ask(number=30)))
        await until_blocked(rabbitmq, 1)
        gate.set()
        assert sorted(await log.until(lambda numbers: len(numbers) == 30)) == list(range(30))
        await until_settled(rabbitmq, world.topic)
        assert not waiting.done()
    async with asyncio.timeout(PATIENCE):
        await waiting

    await log.until(lambda numbers: sorted(numbers) == list(range(31)))


async def test_a_process_that_publishes_and_consumes_goes_on_after_the_all_clear(
    world: World, rabbitmq: RabbitMQ
) -> None:
    log = Log()
    server = await world.serve(do=log)
    feeder = await world.bus()
    await server.cast(world.do, Ask(number=100))

    async with short_of_memory(rabbitmq):
        waiting = [
            asyncio.create_task(bus.cast(world.do, Ask(number=number)))
            for number in range(20)
            for bus in (feeder if number % 2 else server,)
        ]
        await until_blocked(rabbitmq, 2)
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*waiting)

    numbers = await log.until(lambda numbers: len(numbers) == 21)
    assert sorted(numbers) == [*range(20), 100]
    await until_settled(rabbitmq, world.topic)


async def test_publishers_without_confirms_wait_too(rabbitmq: RabbitMQ, plain: bool) -> None:
    world = World(RabbitPlace(rabbitmq, plain=plain), replace(SETTINGS, delivery="icehouse"))
    log = Log()
    await world.serve(do=log)
    publisher = await world.bus()

    async with short_of_memory(rabbitmq):
        await publisher.cast(world.do, Ask(number=0))
        await until_blocked(rabbitmq, 1)
        waiting = [asyncio.create_task(publisher.cast(world.do, Ask(number=number))) for number in (1, 2, 3)]
        await asyncio.sleep(0.5)
        assert not any(task.done() for task in waiting)
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*waiting)

    await log.until(lambda numbers: sorted(numbers) == [0, 1, 2, 3])
    await world.close()


async def test_a_message_whose_deadline_passes_meanwhile_fails_in_time(world: World, rabbitmq: RabbitMQ) -> None:
    log = Log()
    await world.serve(do=log)
    impatient = await world.bus(settings=replace(SETTINGS, publish_timeout=0.5))
    await impatient.cast(world.do, Ask(number=0))

    async with short_of_memory(rabbitmq):
        for number in (1, 2, 3):
            began = time.monotonic()
            with pytest.raises(NotConnected):
                await impatient.cast(world.do, Ask(number=number))
            assert 0.4 < time.monotonic() - began < 5
    await impatient.cast(world.do, Ask(number=4))

    assert {0, 4} <= set(await log.until(lambda numbers: 4 in numbers))


async def test_a_call_fails_in_time_while_the_broker_takes_nothing(world: World, rabbitmq: RabbitMQ) -> None:
    await world.serve(add=add_one)
    client = await world.bus()
    assert await client.call(world.add, Ask(number=1)) == Answer(number=2)

    async with short_of_memory(rabbitmq):
        began = time.monotonic()
        with pytest.raises(BusError):
            await client.call(world.add, Ask(number=2), timeout=1.0)
        assert 0.9 < time.monotonic() - began < 6

    assert await client.call(world.add, Ask(number=3)) == Answer(number=4)


async def test_an_alarm_longer_than_the_heartbeat_ends_no_connection(rabbitmq: RabbitMQ, plain: bool) -> None:
    world = World(Quick(rabbitmq, plain=plain), SETTINGS)
    log = Log()
    transport = await world.connect()
    publisher = await world.bus(transport)
    await world.serve(do=log)
    await publisher.cast(world.do, Ask(number=0))

    async with short_of_memory(rabbitmq):
        waiting = [asyncio.create_task(publisher.cast(world.do, Ask(number=number))) for number in (1, 2, 3)]
        await until_blocked(rabbitmq, 1)
        # Six intervals: aiormq gives a connection up after that long without a frame.
        await asyncio.sleep(8)
        assert not any(task.done() for task in waiting)
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*waiting)

    await log.until(lambda numbers: sorted(numbers) == [0, 1, 2, 3])
    assert transport.reconnects == 0
    await world.close()
