"""A real RabbitMQ for tests: one node per test session, a virtual host per test, and what may befall a broker."""

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from services.private.rabbitmq import PrivateRabbitMQ as RabbitMQ
from tests.support.lasting import lasting

__all__ = [
    "RabbitMQ",
    "fresh_rabbitmq_url",
    "own_rabbitmq",
    "rabbitmq",
    "rabbitmq_url",
    "short_of_memory",
    "until_blocked",
]


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """The session's node. Shared: tests that kill or restart a node take `own_rabbitmq`."""
    with lasting(RabbitMQ(tmp_path_factory.mktemp("rabbitmq"))) as node:
        yield node


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


# Asked in the node: a rabbitmqctl for every look takes seconds.
_UNTIL_BLOCKED = """
Blocked = fun() -> [C || C <- rabbit_networking:connections(), rabbit_networking:connection_info(C, [state]) == [{{state, blocked}}]] end,
Wait = fun Wait(0) -> never; Wait(N) -> case length(Blocked()) >= {connections} of
    true -> blocked;
    false -> timer:sleep(50), Wait(N - 1)
end end,
Wait(400).
"""


async def until_blocked(node: RabbitMQ, connections: int) -> None:
    """Wait until the node holds back so many connections: it does with the first message of each."""
    assert (await node.ctl("eval", _UNTIL_BLOCKED.format(connections=connections))).strip() == "blocked"


@asynccontextmanager
async def short_of_memory(node: RabbitMQ) -> AsyncIterator[None]:
    """The node's memory alarm is on: it takes nothing from publishers, and tells them so (connection.blocked)."""
    await node.ctl("set_vm_memory_high_watermark", "0.00001")
    try:
        yield
    finally:
        await node.ctl("set_vm_memory_high_watermark", "0.4")
