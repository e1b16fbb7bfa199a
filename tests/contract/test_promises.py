"""What durable delivery promises, on one RabbitMQ node: nothing that a caller was told was sent is lost, whatever is killed.

Publisher and consumer are processes and really die, with hundreds of messages in flight. Seeds choose the moments;
NOVAFLOW_PROMISE_SEEDS (default 2) says how many.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from rpc.errors import CallTimeout, NotConnected
from tests.support.lasting import lasting
from tests.support.promise_messages import Plan, Work, transported
from tests.support.promises import CALL_SLACK, PATIENCE, assert_promise_kept, load
from tests.support.rabbitmq import RabbitMQ

PATIENCE_WITH_BROKER: Final = 2.0  # seconds a message may wait
MORE_THAN_MAY_WAIT: Final = 12_000
SEEDS: Final = range(1, int(os.environ.get("NOVAFLOW_PROMISE_SEEDS", "2")) + 1)

several_seeds = pytest.mark.parametrize("seed", SEEDS)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A node for the tests of this file, which kill it."""
    with lasting(RabbitMQ(tmp_path_factory.mktemp("rabbitmq"))) as node:
        yield node


@several_seeds
async def test_a_broker_that_is_killed_and_started_again_loses_nothing(
    node: RabbitMQ, tmp_path: Path, seed: int
) -> None:
    async with load(tmp_path, node.url, seed) as running:
        await running.goes_on()
        await node.kill9()
        await node.start()
        await running.goes_on()

        outcome = await running.finish(node.url)

    assert_promise_kept(outcome)


@several_seeds
async def test_a_consumer_that_is_killed_loses_nothing(node: RabbitMQ, tmp_path: Path, seed: int) -> None:
    async with load(tmp_path, node.url, seed) as running:
        await running.goes_on()
        await running.consumer.kill9()
        await running.consumer.start()
        await running.goes_on()

        outcome = await running.finish(node.url)

    assert_promise_kept(outcome)
    assert outcome.twice < len(outcome.sent) / 2


@several_seeds
async def test_a_publisher_that_is_killed_loses_nothing_that_was_confirmed(
    node: RabbitMQ, tmp_path: Path, seed: int
) -> None:
    async with load(tmp_path, node.url, seed) as running:
        await running.goes_on()
        await running.publisher.kill9()
        await running.publisher.start()
        await running.goes_on()

        outcome = await running.finish(node.url)

    assert_promise_kept(outcome)


@several_seeds
async def test_connections_that_the_broker_closes_lose_nothing(node: RabbitMQ, tmp_path: Path, seed: int) -> None:
    async with load(tmp_path, node.url, seed) as running:
        await running.goes_on()
        await node.ctl("close_all_connections", "a test")
        await running.goes_on()

        outcome = await running.finish(node.url)

    assert_promise_kept(outcome)


@several_seeds
async def test_what_icehouse_acknowledges_before_the_work_is_lost_with_the_consumer(
    node: RabbitMQ, tmp_path: Path, seed: int
) -> None:
    """These tests can see a loss: Nova's old way of delivery, which promises nothing, has one."""
    async with load(tmp_path, node.url, seed, delivery="icehouse", exchange="nova-icehouse", work=0.3) as running:
        await running.goes_on()
        await running.consumer.kill9()
        await running.consumer.start()
        await running.goes_on()

        outcome = await running.finish(node.url, patience=3.0)

    assert outcome.lost
    assert outcome.left == {}


async def test_while_the_broker_is_away_messages_wait_within_their_time_and_up_to_a_number_and_then_fail(
    node: RabbitMQ, tmp_path: Path
) -> None:
    """The last test of this file: it leaves the node dead."""
    plan = Plan(url=node.url, topic="away", journal="", name="p", seed=0, publish_timeout=PATIENCE_WITH_BROKER)
    async with transported(plan) as (transport, bus):
        await bus.cast(plan.do, Work(id="before"))
        await node.kill9()
        await until(lambda: not transport.is_connected)

        began = time.monotonic()
        casts = [asyncio.create_task(bus.cast(plan.do, Work(id="x"))) for _ in range(MORE_THAN_MAY_WAIT)]
        calls = [asyncio.create_task(bus.call(plan.ask, Work(id="x"), timeout=1.0)) for _ in range(20)]
        await asyncio.sleep(0)
        at_once = sum(cast.done() for cast in casts)
        waiting = transport.waiting
        outcomes = await asyncio.gather(*casts, *calls, return_exceptions=True)
        took = time.monotonic() - began

    assert {type(outcome) for outcome in outcomes} <= {NotConnected, CallTimeout}
    assert 0 < at_once < len(casts)
    assert waiting <= len(casts) - at_once
    assert PATIENCE_WITH_BROKER <= took < PATIENCE_WITH_BROKER + CALL_SLACK + 3.0


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():
            await asyncio.sleep(0.01)
