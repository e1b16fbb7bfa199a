"""Both databases, migrated, behind one fixture: what is true of one must be true of the other."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow import config
from novaflow.db.database import Database
from novaflow.db.migrate import upgrade
from novaflow.db.schema import aggregates, compute, hosts, identity, images, networking, volumes
from novaflow.db.schema.metadata import METADATA
from services.private.mariadb import PrivateMariaDB

__all__ = ["database", "migrated", "migrated_mariadb", "migrated_sqlite", "store_url"]

SETTINGS: Final = config.Database()
TABLES: Final = (aggregates, compute, hosts, identity, images, networking, volumes)  # whose import fills METADATA
_DEFAULT_FLAVORS: Final = ("1", "2", "3", "4", "5")


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the newest schema, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "template.sqlite"
    asyncio.run(upgrade(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def migrated_mariadb(mariadb: PrivateMariaDB) -> str:
    """A database with the newest schema; `store_url` empties it before each test."""

    async def make() -> str:
        admin = await Database.open(mariadb.url, SETTINGS)
        await admin.write(lambda connection: connection.execute(text("CREATE DATABASE stores")))
        await admin.close()
        await upgrade(mariadb.url_of("stores"))
        return mariadb.url_of("stores")

    return asyncio.run(make())


@pytest.fixture(params=["sqlite", "mariadb"])
def migrated(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A migrated database on SQLite, then on MariaDB; started only when a test asks for it."""
    if request.param == "mariadb":
        url: str = request.getfixturevalue("migrated_mariadb")
        return url
    path = tmp_path / "novaflow.sqlite"
    shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
    return f"sqlite+aiosqlite:///{path}"


@pytest.fixture
async def store_url(migrated: str) -> str:
    """The same, without what another test has left in it."""
    if migrated.startswith("mysql"):
        await _empty(migrated)
    return migrated


@pytest.fixture
async def database(store_url: str) -> AsyncIterator[Database]:
    """The same, open."""
    opened = await Database.open(store_url, SETTINGS)
    yield opened
    await opened.close()


async def _empty(url: str) -> None:
    """Remove all rows but those that the migration put there."""
    defaults = hosts.flavors.c.id.in_(_DEFAULT_FLAVORS)
    statements = [
        table.delete().where(~defaults) if table is hosts.flavors else table.delete()
        for table in reversed(METADATA.sorted_tables)
    ]

    async def work(connection: AsyncConnection) -> None:
        for statement in statements:
            await connection.execute(statement)

    database = await Database.open(url, SETTINGS)
    await database.write(work)
    await database.close()
