"""A RabbitMQ cluster for tests: three nodes per test session, whole at the beginning of every test."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from services.private.rabbitmq_cluster import PrivateCluster as Cluster

__all__ = ["Cluster", "cluster"]


@pytest.fixture(scope="session")
def session_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    asyncio.run(cluster.start())
    try:
        yield cluster
    finally:
        asyncio.run(cluster.stop())


@pytest.fixture
async def cluster(session_cluster: Cluster) -> AsyncIterator[Cluster]:
    """The session's cluster, all of whose nodes run. A test may kill them."""
    await session_cluster.start()
    yield session_cluster
    await session_cluster.start()
