"""Open connections, kept and lent out: one at a time to one user, never more than `size`.

SQLAlchemy's own pool takes and resets a connection with more work than a small read costs. Here whoever borrows a
connection returns it clean; one that is lost, or was left in the middle of a statement, is thrown away, and with
a lost one all that lie idle: they went to the same server.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

_FAREWELL: Final = 5.0  # seconds that connections may take to be thrown away


class Connections:
    """The connections of one engine, which should have no pool itself."""

    def __init__(self, engine: AsyncEngine, size: int) -> None:
        self._engine = engine
        self._free = asyncio.Semaphore(size)
        self._idle: list[AsyncConnection] = []
        self._leaving: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[AsyncConnection]:
        """A connection without a transaction; the borrower ends what it begins, or raises."""
        async with self._free:
            connection = self._idle.pop() if self._idle else await self._engine.connect()
            try:
                yield connection
            except Exception as error:
                await self._unless_cancelled(self._take_back(connection, error), connection)
                raise
            except BaseException:
                # Cancelled: as in _unless_cancelled.
                await self._part_with(connection)
                raise
            self._idle.append(connection)

    async def close(self) -> None:
        """Close what lies idle and see off what is thrown away; what is lent is closed with the engine."""
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=_FAREWELL)
        while self._idle:
            await self._idle.pop().close()
        await self._engine.dispose()

    async def _take_back(self, connection: AsyncConnection, error: Exception) -> None:
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            await self._forget()
            await _throw_away(connection)
            return
        try:
            await connection.rollback()
        except Exception:
            await _throw_away(connection)
        else:
            self._idle.append(connection)

    async def _forget(self) -> None:
        while self._idle:
            await _throw_away(self._idle.pop())

    async def _unless_cancelled(self, work: Awaitable[None], connection: AsyncConnection) -> None:
        """Whoever is cancelled leaves a server that may still be answering, so nobody can use the connection again."""
        try:
            await work
        except asyncio.CancelledError:
            await self._part_with(connection)
            raise

    async def _part_with(self, connection: AsyncConnection) -> None:
        """Throw a connection away, cancelled again or not: one of SQLite's that is left half closed never ends."""
        leaving = asyncio.create_task(_throw_away(connection), name="throw a connection away")
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)
        await asyncio.shield(leaving)


async def _throw_away(connection: AsyncConnection) -> None:
    with suppress(Exception):  # it is being given up: that it cannot even be closed changes nothing
        await connection.invalidate()
    with suppress(Exception):
        await connection.close()
