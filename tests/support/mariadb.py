"""A real MariaDB for tests: one server per test session, a database per test."""

import secrets
from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from services.private.mariadb import PrivateMariaDB
from tests.support.lasting import lasting

__all__ = ["mariadb", "mariadb_url", "own_mariadb"]


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateMariaDB]:
    """The session's server. Shared: tests that kill or restart a server take `own_mariadb`."""
    with lasting(PrivateMariaDB(tmp_path_factory.mktemp("mariadb"), durable=False)) as server:
        yield server


@pytest.fixture
async def mariadb_url(mariadb: PrivateMariaDB) -> AsyncIterator[str]:
    """An empty database of this test's own on the session's server."""
    name = f"test_{secrets.token_hex(6)}"
    engine = create_async_engine(mariadb.url, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            await connection.execute(text(f"CREATE DATABASE {name}"))
        yield mariadb.url_of(name)
        async with engine.connect() as connection:
            await connection.execute(text(f"DROP DATABASE {name}"))
    finally:
        await engine.dispose()


@pytest.fixture
async def own_mariadb(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PrivateMariaDB]:
    """A server for one test alone, to be killed and restarted."""
    async with PrivateMariaDB(tmp_path_factory.mktemp("mariadb"), durable=False) as server:
        yield server
