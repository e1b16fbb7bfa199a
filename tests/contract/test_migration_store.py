"""The migrations: both databases get the schema that the code expects, from nothing, once, and whole."""

import asyncio
from functools import partial
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.command import downgrade as run_downgrade
from alembic.command import upgrade as run_upgrade
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

import novaflow.db.migrations
from novaflow.db.database import Database
from novaflow.db.migrate import HEAD, current, upgrade
from novaflow.db.schema.metadata import METADATA
from tests.support.stores import SETTINGS, TABLES

SCRIPTS = Path(novaflow.db.migrations.__file__).parent


@pytest.fixture(params=["sqlite", "mariadb"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with nothing in it."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'new' / 'novaflow.sqlite'}"
    url: str = request.getfixturevalue("mariadb_url")
    return url


async def differences(url: str) -> list[object]:
    def compare(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return [found for found in compare_metadata(context, METADATA) if "alembic_version" not in str(found)]

    database = await Database.open(url, SETTINGS)
    found = await database.read(lambda connection: connection.run_sync(compare))
    await database.close()
    return found


def alembic(connection: Connection) -> Config:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(SCRIPTS))
    config.set_main_option("path_separator", "os")
    return config


async def test_a_new_database_is_what_the_code_expects(source: str) -> None:
    assert len(TABLES) == 7
    assert await current(source) is None

    await upgrade(source)

    assert await current(source) == HEAD
    assert await differences(source) == []


async def test_alembic_itself_makes_the_same(source: str) -> None:
    database = await Database.open(source, SETTINGS)

    await database.write(lambda connection: connection.run_sync(lambda sync: run_upgrade(alembic(sync), "head")))

    assert await current(source) == HEAD
    assert await differences(source) == []
    await database.write(lambda connection: connection.run_sync(lambda sync: run_downgrade(alembic(sync), "base")))
    left = await database.read(lambda connection: connection.run_sync(lambda sync: inspect(sync).get_table_names()))
    assert left == ["alembic_version"]
    await database.close()


async def test_an_upgrade_may_be_repeated_and_keeps_what_is_there(source: str) -> None:
    await upgrade(source)
    database = await Database.open(source, SETTINGS)
    await database.write(lambda connection: connection.execute(text("DELETE FROM flavors WHERE id = '1'")))

    await upgrade(source)

    assert await database.read(lambda connection: connection.scalar(text("SELECT COUNT(*) FROM flavors"))) == 4
    await database.close()


async def test_processes_that_start_at_once_migrate_once(source: str) -> None:
    await asyncio.gather(*(upgrade(source) for _ in range(4)))

    assert await differences(source) == []
    database = await Database.open(source, SETTINGS)
    assert await database.read(lambda connection: connection.scalar(text("SELECT COUNT(*) FROM flavors"))) == 5
    await database.close()


async def test_a_migration_that_was_interrupted_is_completed(source: str) -> None:
    await upgrade(source)
    database = await Database.open(source, SETTINGS)
    for statement in ("DROP TABLE alembic_version", "DROP TABLE tasks", "DROP INDEX ix_servers_host{}"):
        on_table = "" if source.startswith("sqlite") else " ON servers"
        sql = statement.format(on_table)
        await database.write(partial(AsyncConnection.exec_driver_sql, statement=sql))
    await database.close()

    await upgrade(source)

    assert await differences(source) == []


def test_the_newest_revision_is_the_one_that_the_code_names() -> None:
    assert ScriptDirectory(str(SCRIPTS)).get_current_head() == HEAD
