"""Rows that may be there already."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.errors import Conflict

_MARIADB_DUPLICATE: Final = 1062
_SQLITE_DUPLICATES: Final = ("SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE")


def is_duplicate(error: IntegrityError) -> bool:
    """Whether a row of that key is there already; other constraints are bugs of ours."""
    if isinstance(error.orig, sqlite3.Error):
        return getattr(error.orig, "sqlite_errorname", "") in _SQLITE_DUPLICATES
    return error.orig is not None and error.orig.args[:1] == (_MARIADB_DUPLICATE,)


@contextmanager
def conflicting(reason: str) -> Iterator[None]:
    """That a row of that key is there already is a Conflict for this reason."""
    try:
        yield
    except IntegrityError as error:
        if not is_duplicate(error):
            raise
        raise Conflict(reason=reason) from error


async def insert_once(
    connection: AsyncConnection, statement: Insert, values: Mapping[str, Any] | Sequence[Mapping[str, Any]]
) -> bool:
    """Insert, unless a row of that key is there: then False, and the transaction goes on.

    Not INSERT IGNORE, which on MariaDB forgives truncated values too and has the driver fetch and log a warning.
    """
    try:
        await connection.execute(statement, values)
    except IntegrityError as error:
        if not is_duplicate(error):
            raise
        return False
    return True
