"""The connections: how SQLite and MariaDB are opened so that both behave as the repositories expect.

A reader commits nothing and is in autocommit, so that one SELECT is one round trip. A writer has one transaction at a time:
on MariaDB at READ COMMITTED, on SQLite after BEGIN IMMEDIATE. Whoever ends it says so; returning
a connection does not.
"""

import re
import sqlite3
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from novaflow.config import Database as Settings
from novaflow.db import sqlite
from novaflow.errors import Invalid

SQLITE: Final = "sqlite"
_DRIVERS: Final = {"sqlite": "aiosqlite", "mysql": "asyncmy", "mariadb": "asyncmy"}
_LOCK_WAIT: Final = 10  # seconds a statement waits for a row

_SQLITE_SETTINGS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",  # survives the process; a power cut may take the last commits, never the file
    "PRAGMA foreign_keys = ON",
    "PRAGMA temp_store = MEMORY",
)
_MARIADB_SETTINGS: Final = (
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,"
    "NO_ENGINE_SUBSTITUTION,ONLY_FULL_GROUP_BY', "
    "time_zone = '+00:00', "
    f"innodb_lock_wait_timeout = {_LOCK_WAIT}"
)


def parse(url: str) -> URL:
    """A URL of one of the two databases, with its driver filled in; raises Invalid, without the password."""
    try:
        parsed = make_url(url)
        family, _, driver = parsed.drivername.partition("+")
    except Exception as error:
        raise Invalid(reason="database.url is not a URL") from error
    if family not in _DRIVERS or driver not in ("", _DRIVERS[family]):
        raise Invalid(reason=f"database.url: '{parsed.drivername}' is not one of sqlite+aiosqlite, mysql+asyncmy")
    if family == SQLITE and parsed.database in (None, "", ":memory:"):
        raise Invalid(reason="database.url: SQLite needs a file")
    return parsed.set(drivername=f"{'sqlite' if family == SQLITE else 'mysql'}+{_DRIVERS[family]}")


def open_reader(url: URL, settings: Settings) -> AsyncEngine:
    """Connections that only read."""
    return _open(url, settings, isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True)


def open_writer(url: URL, settings: Settings) -> AsyncEngine:
    """Connections that write."""
    if url.get_backend_name() == SQLITE:
        return _open(url, settings)
    return _open(url, settings, isolation_level="READ COMMITTED")


def _open(url: URL, settings: Settings, **options: Any) -> AsyncEngine:
    common: dict[str, Any] = {
        "poolclass": NullPool,  # novaflow.db.pool keeps them
        "pool_reset_on_return": None,
        "hide_parameters": True,  # they are users' data and secrets, and errors are logged
    }
    if url.get_backend_name() == SQLITE:
        arguments: dict[str, Any] = {
            "timeout": settings.statement_timeout,
            "isolation_level": None,
            "async_creator_fn": sqlite.connect,
        }
        engine = create_async_engine(url, connect_args=arguments, **common | options)
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        return engine
    arguments = {"charset": "utf8mb4", "init_command": _MARIADB_SETTINGS, "connect_timeout": 10}
    return create_async_engine(url, connect_args=arguments, **common | options)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for setting in _SQLITE_SETTINGS:
        cursor.execute(setting)
    cursor.close()
    connection.create_function("regexp", 2, _regexp, deterministic=True)


def _regexp(pattern: str, text: str | None) -> bool:
    """SQLite's `text REGEXP pattern`, found anywhere, as in MariaDB."""
    return text is not None and _compiled(pattern).search(text) is not None


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise sqlite3.OperationalError(f"not a regular expression: {error}") from error
