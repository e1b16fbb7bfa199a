"""What durable delivery promises on a cluster of three nodes with quorum queues: any one node may die under load.

As tests/contract/test_promises.py, with more to kill. NOVAFLOW_PROMISE_SEEDS (default 2) says how many seeds there are.
"""

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
import pytest

from services.private.rabbitmq import PrivateRabbitMQ
from tests.support.promise_messages import Plan, Work, opened
from tests.support.promises import Load, Program, assert_promise_kept, load
from tests.support.rabbitmq_cluster import Cluster

SEEDS: Final = range(1, int(os.environ.get("NOVAFLOW_PROMISE_SEEDS", "2")) + 1)

TOPICS: Final = 8  # each with a queue that elects for itself

pytestmark = pytest.mark.timeout(240)
several_seeds = pytest.mark.parametrize("seed", SEEDS)


@asynccontextmanager
async def under_load(cluster: Cluster, directory: Path, seed: int) -> AsyncIterator[Load]:
    """Publisher and consumer on quorum queues, each knowing every node."""
    async with load(directory, cluster.url, seed, queues="quorum") as running:
        yield running


def connected_to(cluster: Cluster, program: Program) -> PrivateRabbitMQ:
    """The node that a program is connected to."""
    ports = program.peers()
    (node,) = [node for node in cluster.nodes if node.port in ports]
    return node


async def leader_of(cluster: Cluster, queue: str) -> PrivateRabbitMQ:
    """The node that decides what is in a quorum queue."""
    leaders = await cluster.ctl("list_queues", "--no-table-headers", "name", "leader")
    (name,) = [line.split()[1] for line in leaders.splitlines() if line.split()[0] == queue]
    (node,) = [node for node in cluster.nodes if node.node == name]
    return node


@several_seeds
async def test_each_node_in_turn_dies_and_comes_back_and_nothing_is_lost(
    cluster: Cluster, tmp_path: Path, seed: int
) -> None:
    async with under_load(cluster, tmp_path, seed) as running:
        await running.goes_on()
        near = connected_to(cluster, running.publisher)
        leader = await leader_of(cluster, running.topic)
        order = [near, leader, *cluster.nodes] if seed % 2 else [leader, near, *cluster.nodes]
        for victim in dict.fromkeys(order):
            await victim.kill9()
            await running.goes_on()  # with two nodes
            await victim.start()
            await running.goes_on()

        outcome = await running.finish(cluster.nodes[0].url)

    assert_promise_kept(outcome)


@several_seeds
async def test_a_consumer_and_a_publisher_that_are_killed_with_a_node_lose_nothing(
    cluster: Cluster, tmp_path: Path, seed: int
) -> None:
    victim = cluster.nodes[seed % len(cluster.nodes)]
    async with under_load(cluster, tmp_path, seed) as running:
        await running.goes_on()
        await victim.kill9()
        await running.consumer.kill9()
        await running.publisher.kill9()
        await running.consumer.start()
        await running.publisher.start()
        await running.goes_on()
        await victim.start()

        outcome = await running.finish(victim.url)

    assert_promise_kept(outcome)


async def test_who_connects_while_the_queues_have_no_leader_is_heard_when_they_have(cluster: Cluster) -> None:
    """RabbitMQ 3.10 has a channel that first meets a queue then refuse every message for it, for as long as the node is away."""
    plans = [
        Plan(
            url=cluster.nodes[1].url,
            topic=f"t{secrets.token_hex(4)}",
            journal="",
            name="p",
            seed=0,
            queues="quorum",
            publish_timeout=30.0,
        )
        for _ in range(TOPICS)
    ]
    old = msgspec.structs.replace(plans[0], url=cluster.nodes[0].url)
    async with opened(old) as bus:
        for plan in plans:
            await bus.cast(plan.do, Work(id="before"))  # declares the queue, which is led from here
    async with frozen(cluster.nodes[2]):
        await cluster.nodes[0].kill9()
        sending = asyncio.create_task(burst(plans))
        await asyncio.sleep(1.0)  # no majority, no leader
    refused = [error for error in await sending if error is not None]

    assert refused == []


async def burst(plans: Sequence[Plan]) -> list[BaseException | None]:
    """What became of casts to every topic from a new connection."""
    async with opened(plans[0]) as bus:
        casts = (bus.cast(plan.do, Work(id=str(number))) for plan in plans for number in range(20))
        return await asyncio.gather(*casts, return_exceptions=True)


@asynccontextmanager
async def frozen(node: PrivateRabbitMQ) -> AsyncIterator[None]:
    """The node stands still while the block runs."""
    assert node.pid is not None
    os.kill(node.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(node.pid, signal.SIGCONT)
