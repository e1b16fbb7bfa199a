"""A broker that is killed (-9) and started again: nothing accepted is lost, nothing hangs."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from rpc.bus import Bus, BusSettings
from rpc.errors import CallTimeout, NotConnected
from tests.support.bus import PATIENCE, Answer, Ask, Log, RabbitPlace, World, add_one
from tests.support.lasting import lasting
from tests.support.rabbitmq import RabbitMQ

RESTART = 60.0  # seconds a restarted broker may take


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    with lasting(RabbitMQ(tmp_path_factory.mktemp("rabbitmq"))) as node:
        yield node


@pytest.fixture
async def world(node: RabbitMQ) -> AsyncIterator[World]:
    await node.start()
    world = World(RabbitPlace(node), BusSettings(publish_timeout=RESTART, drain_timeout=5.0, retry_delay=0.02))
    yield world
    await world.close()


async def kill_and_restart(node: RabbitMQ) -> None:
    await node.kill9()
    await node.start()


class Senders:
    """Casts from many tasks at once, and which of them were confirmed."""

    def __init__(self, bus: Bus, world: World, count: int) -> None:
        self.confirmed: set[int] = set()
        self._bus = bus
        self._world = world
        self._numbers = iter(range(1_000_000))
        self._is_over = False
        self._tasks = [asyncio.create_task(self._send()) for _ in range(count)]

    async def _send(self) -> None:
        while not self._is_over:
            number = next(self._numbers)
            await self._bus.cast(self._world.do, Ask(number=number, text="x" * 1000))
            self.confirmed.add(number)

    async def until(self, count: int) -> None:
        """Wait until so many are confirmed."""
        async with asyncio.timeout(RESTART):
            while len(self.confirmed) < count:
                await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Send nothing new; whatever is under way must come to an end."""
        self._is_over = True
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*self._tasks)


@pytest.mark.parametrize("seed", [1, 2])
async def test_no_confirmed_cast_is_lost_and_no_call_hangs(world: World, node: RabbitMQ, seed: int) -> None:
    dice = random.Random(seed)
    received: set[int] = set()
    cancelled = 0

    async def take(ask: Ask) -> None:
        nonlocal cancelled
        try:
            await asyncio.sleep(dice.random() / 50)
        except asyncio.CancelledError:
            cancelled += 1
            raise
        received.add(ask.number)

    release = asyncio.Event()

    async def answer(ask: Ask) -> Answer:
        await release.wait()
        return Answer(number=ask.number + 1)

    await world.serve(do=take, add=answer, host="h1")
    client = await world.bus()
    calls = [asyncio.create_task(client.call(world.add, Ask(number=n), timeout=RESTART)) for n in range(20)]
    doomed = asyncio.create_task(client.call(world.add.at("h1"), Ask(number=0), timeout=0.5))
    senders = Senders(client, world, 32)
    await senders.until(100 + dice.randrange(400))
    await kill_and_restart(node)
    await senders.until(len(senders.confirmed) + 200)
    release.set()
    await senders.stop()
    async with asyncio.timeout(PATIENCE):
        answers = await asyncio.gather(*calls)
        while senders.confirmed - received:
            await asyncio.sleep(0.05)

    assert [answer.number for answer in answers] == [n + 1 for n in range(20)]
    with pytest.raises((CallTimeout, NotConnected)):
        await doomed
    assert cancelled == 0


async def test_what_waits_for_an_absent_worker_survives_the_broker(world: World, node: RabbitMQ) -> None:
    worker = await world.serve(do=Log(), host="h1")
    await worker.close()
    client = await world.bus()
    for n in range(10):
        await client.cast(world.do.at("h1"), Ask(number=n))
        await client.cast(world.do, Ask(number=-n))

    await kill_and_restart(node)
    log = Log()
    await world.serve(do=log, host="h1")

    assert sorted(set(await log.until(lambda numbers: len(set(numbers)) == 19))) == list(range(-9, 10))


async def test_while_the_broker_is_away_casts_wait_in_order_and_impatient_ones_fail(
    world: World, node: RabbitMQ
) -> None:
    log = Log()
    await world.serve(do=log, add=add_one, host="h1")
    transport = await world.connect()
    patient = await world.bus(transport)
    impatient = await world.bus(settings=replace(world.settings, publish_timeout=0.3))
    await patient.call(world.add, Ask(number=0))

    await node.kill9()
    waiting = [asyncio.create_task(patient.cast(world.do, Ask(number=n))) for n in range(50)]
    with pytest.raises(NotConnected):
        await impatient.cast(world.do, Ask(number=-1))
    with pytest.raises((NotConnected, CallTimeout)):
        await impatient.call(world.add, Ask(number=-1))
    asked = asyncio.create_task(patient.call(world.add.at("h1"), Ask(number=1), timeout=RESTART))
    assert not any(task.done() for task in waiting)
    await node.start()
    async with asyncio.timeout(RESTART):
        await asyncio.gather(*waiting)

    assert (await asked).number == 2
    assert await log.until(lambda numbers: len(numbers) >= 50) == list(range(50))
