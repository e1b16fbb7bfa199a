"""Time in SQL, the same on SQLite and MariaDB: the database's own clock, to mark what has changed since when, and moments as numbers.

That clock is one for every process. It is compared with itself alone, never with a clock of ours: those may differ from it and from one another.
"""

from typing import Any

from sqlalchemy import Numeric
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from novaflow.db.schema.metadata import UtcDateTime


class database_time(FunctionElement[Any]):  # noqa: N801  used as a function of SQL
    """The moment the statement began, as a column of UtcDateTime has it."""

    name = "database_time"
    type = UtcDateTime()
    inherit_cache = True


class seconds_of(FunctionElement[Any]):  # noqa: N801
    """Seconds since 1970 of a moment in a column, to be summed."""

    name = "seconds_of"
    type = Numeric()
    inherit_cache = True


@compiles(database_time, "mysql")
@compiles(database_time, "mariadb")
def _on_mariadb(_element: Any, _compiler: Any, **_: Any) -> str:
    return "UTC_TIMESTAMP(6)"


@compiles(database_time, "sqlite")
def _on_sqlite(_element: Any, _compiler: Any, **_: Any) -> str:
    # SQLite knows milliseconds; the zeros make them microseconds, as every other moment is kept.
    return "(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')"


@compiles(seconds_of, "mysql")
@compiles(seconds_of, "mariadb")
def _seconds_on_mariadb(element: Any, compiler: Any, **more: Any) -> str:
    return f"UNIX_TIMESTAMP({compiler.process(element.clauses, **more)})"


@compiles(seconds_of, "sqlite")
def _seconds_on_sqlite(element: Any, compiler: Any, **more: Any) -> str:
    return f"CAST(strftime('%s', {compiler.process(element.clauses, **more)}) AS INTEGER)"
