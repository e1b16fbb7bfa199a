"""An unmodified oslo.messaging and a bus of ours on one RabbitMQ, set up to agree in each way that docs/wire.md names."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.bus import RabbitPlace, World
from tests.support.oslo import AGREEMENTS, Agreement, OsloClient, configuration, oslo_client
from tests.support.rabbitmq import RabbitMQ


@pytest.fixture(scope="module", params=list(AGREEMENTS))
def agreement(request: pytest.FixtureRequest) -> Agreement:
    """Durable queues, quorum queues, or Icehouse's transient ones."""
    return AGREEMENTS[request.param]


@pytest.fixture(scope="module")
def oslo_configuration(rabbitmq: RabbitMQ, agreement: Agreement) -> str:
    """What a user of oslo.messaging puts into his configuration file."""
    return configuration(rabbitmq.url, agreement.exchange, agreement.options)


@pytest.fixture(scope="module")
def oslo(tmp_path_factory: pytest.TempPathFactory, oslo_configuration: str) -> Iterator[OsloClient]:
    """A client of oslo.messaging that may rebuild our errors."""
    with oslo_client(tmp_path_factory.mktemp("oslo-client"), oslo_configuration, "novaflow.errors") as client:
        yield client


@pytest.fixture
async def world(rabbitmq: RabbitMQ, agreement: Agreement) -> AsyncIterator[World]:
    """Our side, on a topic of the test's own."""
    world = World(RabbitPlace(rabbitmq), agreement.settings)
    yield world
    await world.close()
