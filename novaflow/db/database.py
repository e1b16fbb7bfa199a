"""One door to the database: work is done in `read` or `write`, and passing trouble is not the caller's.

The work given to `write` is one transaction and runs again as a whole after a deadlock, a lock not released in time or a lost
connection. A connection may be lost while it commits: then nobody knows whether the work was applied, and it runs again as
well. So work must be safe to run twice. It is, when its identifiers are made before `write` is called and its first
statement is conditional: a second run waits for the locks of the first, then finds what the first one did.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Final, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from novaflow.config import Database as Settings
from novaflow.db.engines import SQLITE, open_reader, open_writer, parse
from novaflow.db.pool import Connections
from novaflow.db.retries import delay, passing
from novaflow.errors import ServiceUnavailable

T = TypeVar("T")
Work = Callable[[AsyncConnection], Awaitable[T]]

_SERVICE: Final = "database"


class Database:
    """The connections of one process to its database."""

    def __init__(self, reader: AsyncEngine, writer: AsyncEngine, settings: Settings) -> None:
        self._is_sqlite = writer.dialect.name == SQLITE
        self._readers = Connections(reader, settings.pool_size)
        self._writers = Connections(writer, 1 if self._is_sqlite else settings.pool_size)
        self._settings = settings
        self._dice = random.Random()  # noqa: S311 - jitter is no secret

    @classmethod
    async def open(cls, url: str, settings: Settings) -> "Database":
        """The database at `url`; raises Invalid for a URL of another kind. It connects when first used."""
        parsed = parse(url)
        if parsed.get_backend_name() == SQLITE and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        return cls(open_reader(parsed, settings), open_writer(parsed, settings), settings)

    async def close(self) -> None:
        """Close every connection."""
        await self._readers.close()
        await self._writers.close()

    async def ask(self) -> None:
        """Have the server say anything; raises ServiceUnavailable when it stays away for the whole budget."""
        await self.read(_anything)

    async def read(self, work: Work[T]) -> T:
        """The answer of `work`, each statement of which sees what was committed before it.

        Raises ServiceUnavailable when the database stays away for the whole budget.
        """
        return await self._within_budget(self._read_once, work)

    async def write(self, work: Work[T]) -> T:
        """The answer of `work`, once its transaction is committed; an exception of `work` rolls it back.

        Raises ServiceUnavailable when the budget is spent; whether the last try was applied may then be unknown.
        """
        return await self._within_budget(self._write_once, work)

    async def _within_budget(self, run: Callable[[Work[T]], Awaitable[T]], work: Work[T]) -> T:
        for attempt in count(1):
            try:
                async with asyncio.timeout(self._settings.statement_timeout):
                    return await run(work)
            except TimeoutError as error:
                raise ServiceUnavailable(service=_SERVICE, reason="it did not answer in time") from error
            except Exception as error:
                reason = passing(error)
                if reason is None:
                    raise
                if attempt > self._settings.retries:
                    raise ServiceUnavailable(service=_SERVICE, reason=f"{reason}, {attempt} times") from error
            await asyncio.sleep(delay(attempt, self._dice))
        raise AssertionError("count() does not end")

    async def _read_once(self, work: Work[T]) -> T:
        async with self._readers.lend() as connection:
            return await work(connection)

    async def _write_once(self, work: Work[T]) -> T:
        async with self._writers.lend() as connection:
            if self._is_sqlite:
                # Taking the write lock first means that no transaction is refused it half-way.
                await connection.exec_driver_sql("BEGIN IMMEDIATE")
            answer = await work(connection)
            await connection.commit()
            return answer


async def _anything(connection: AsyncConnection) -> None:
    await connection.exec_driver_sql("SELECT 1")
