"""Connections to SQLite that can be stopped twice.

A connection that is cancelled while it is being thrown away is stopped by SQLAlchemy and, in a task that it leaves behind, closed. aiosqlite
then waits for an answer of its thread, which ended with the first stop: for ever, and the process with it (aiosqlite 0.22).
"""

import asyncio
import sqlite3
from typing import Any, Final

import aiosqlite

_CHUNK: Final = 64  # rows that an iteration fetches at a time; aiosqlite's own default


class Connection(aiosqlite.Connection):
    """One whose thread is told to stop once, whoever asks how often."""

    _stopping: "asyncio.Future[Any] | None" = None

    def stop(self) -> "asyncio.Future[Any] | None":
        """Stop the thread; all who ask wait for the same end."""
        if self._stopping is None:
            self._stopping = super().stop()
        return self._stopping


def connect(database: str, **options: Any) -> Connection:
    """Where SQLAlchemy would call aiosqlite.connect; to be awaited."""
    connection = Connection(lambda: sqlite3.connect(database, **options), _CHUNK)
    connection._thread.daemon = True  # as SQLAlchemy does with its own: a lost one must not keep the process
    return connection
