"""A RabbitMQ cluster for tests: three nodes per test session, whole at the beginning of every test."""

from collections.abc import AsyncIterator, Iterator

import pytest

from services.private.rabbitmq_cluster import PrivateCluster as Cluster
from tests.support.lasting import lasting

__all__ = ["Cluster", "cluster"]


@pytest.fixture(scope="session")
def session_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with lasting(Cluster(tmp_path_factory.mktemp("cluster"))) as cluster:
        yield cluster


@pytest.fixture
async def cluster(session_cluster: Cluster) -> AsyncIterator[Cluster]:
    """The session's cluster, all of whose nodes run. A test may kill them."""
    await session_cluster.start()
    yield session_cluster
    await session_cluster.start()
