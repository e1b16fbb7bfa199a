"""A real RabbitMQ for tests: one node per test session, a virtual host per test."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator

import pytest

from services.private.rabbitmq import PrivateRabbitMQ as RabbitMQ

__all__ = ["RabbitMQ", "fresh_rabbitmq_url", "own_rabbitmq", "rabbitmq", "rabbitmq_url"]


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """The session's node. Shared: tests that kill or restart a node take `own_rabbitmq`."""
    node = RabbitMQ(tmp_path_factory.mktemp("rabbitmq"))
    asyncio.run(node.start())
    try:
        yield node
    finally:
        asyncio.run(node.stop())


@pytest.fixture(scope="session")
def rabbitmq_url(rabbitmq: RabbitMQ) -> str:
    """The session's node and its default virtual host, which other tests use too."""
    return rabbitmq.url


@pytest.fixture
async def fresh_rabbitmq_url(rabbitmq: RabbitMQ) -> AsyncIterator[str]:
    """The session's node and an empty virtual host of this test's own."""
    name = f"test-{secrets.token_hex(4)}"
    user = rabbitmq.user
    await rabbitmq.ctl("add_vhost", name)
    await rabbitmq.ctl("set_permissions", "-p", name, user, ".*", ".*", ".*")
    try:
        yield rabbitmq.url + name
    finally:
        await rabbitmq.ctl("delete_vhost", name)


@pytest.fixture
async def own_rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RabbitMQ]:
    """A node for one test alone, to be killed and restarted."""
    async with RabbitMQ(tmp_path_factory.mktemp("rabbitmq")) as node:
        yield node
