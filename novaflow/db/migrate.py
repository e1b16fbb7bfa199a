"""Bringing a database to the newest schema, from nothing or from any earlier revision.

Services may start at the same time: one migrates, the others wait and find it done.
"""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.config import Database as Settings
from novaflow.db.database import Database
from novaflow.db.engines import SQLITE
from novaflow.db.migrations import initial
from novaflow.db.schema import aggregates, compute, ec2, hosts, identity, images, networking, volumes
from novaflow.db.schema.metadata import METADATA
from novaflow.errors import ServiceUnavailable

HEAD: Final = "0011"  # the newest revision in migrations/versions
_SCHEMA: Final = (
    aggregates,
    compute,
    ec2,
    hosts,
    identity,
    images,
    networking,
    volumes,
)  # imported, they are on METADATA
_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_LOCK_NAME: Final = "CONCAT('novaflow.', MD5(DATABASE()))"
_LOCK_WAIT: Final = 60  # seconds
_SETTINGS: Final = Settings(statement_timeout=120.0)


async def upgrade(url: str) -> None:
    """Bring the database at `url` to the newest schema. Raises Invalid for the URL, ServiceUnavailable."""
    database = await Database.open(url, _SETTINGS)
    try:
        await database.write(_upgrade)
    finally:
        await database.close()


async def current(url: str) -> str | None:
    """The revision that the database at `url` has; None when it has no schema yet."""
    database = await Database.open(url, _SETTINGS)
    try:
        return await database.read(lambda connection: connection.run_sync(_current))
    finally:
        await database.close()


async def _upgrade(connection: AsyncConnection) -> None:
    if await connection.run_sync(_current) == HEAD:
        return
    if connection.dialect.name == SQLITE:
        await connection.run_sync(_migrate)  # this transaction is the only writer
        return
    # DDL commits by itself on MariaDB, so a lock of the session keeps others out; it goes with the connection.
    if await connection.scalar(text(f"SELECT GET_LOCK({_LOCK_NAME}, {_LOCK_WAIT})")) != 1:
        raise ServiceUnavailable(service="database", reason="another process has been migrating it for too long")
    try:
        await connection.run_sync(_migrate)
        await connection.commit()  # whoever gets the lock next must see the revision, which no DDL has committed
    finally:
        await connection.execute(text(f"SELECT RELEASE_LOCK({_LOCK_NAME})"))


def _migrate(connection: Connection) -> None:
    """A database with nothing in it gets the newest schema at once, without importing alembic; any other one goes revision by revision."""
    revision = _current(connection)
    if revision is None and not inspect(connection).get_table_names():
        METADATA.create_all(connection, checkfirst=False)
        initial.fill(connection)
        _stamp(connection, HEAD)
        return
    if revision is None:  # an earlier run was interrupted: MariaDB keeps what it has made
        initial.create(connection)
        _stamp(connection, initial.REVISION)
    if _current(connection) != HEAD:
        _run_alembic(connection)


def _stamp(connection: Connection, revision: str) -> None:
    connection.execute(
        text("CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    )
    connection.execute(text("INSERT INTO alembic_version (version_num) VALUES (:now)"), {"now": revision})


def _run_alembic(connection: Connection) -> None:
    from alembic.command import upgrade as run
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    run(config, "head")


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision
