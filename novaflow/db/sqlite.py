"""Connections to SQLite that can be stopped twice, and leave no open file behind.

A connection that is cancelled while it is being thrown away is stopped by SQLAlchemy and, in a task that it leaves behind, closed. aiosqlite
then waits for an answer of its thread, which ended with the first stop: for ever, and the process with it. One that is closed after it was
stopped, or cancelled while it was being opened, is forgotten and its file stays open (aiosqlite 0.22).
"""

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any, Final

import aiosqlite

_CHUNK: Final = 64  # rows that an iteration fetches at a time; aiosqlite's own default


class Connection(aiosqlite.Connection):
    """One whose thread closes the file as it ends, and is told to end once, whoever asks how often."""

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(self._opened, _CHUNK)
        self._open = connector
        self._file: sqlite3.Connection | None = None
        self._stopping: asyncio.Future[Any] | None = None

    def stop(self) -> "asyncio.Future[Any] | None":
        """Close the file and stop the thread; all who ask wait for the same end."""
        if self._stopping is None:
            self._tx.put_nowait((None, self._closed))
            self._stopping = super().stop()
        return self._stopping

    def _opened(self) -> sqlite3.Connection:
        self._file = self._open()
        return self._file

    def _closed(self) -> None:
        if self._file is not None:
            self._file.close()


def connect(database: str, **options: Any) -> Connection:
    """Where SQLAlchemy would call aiosqlite.connect; to be awaited."""
    connection = Connection(lambda: sqlite3.connect(database, **options))
    connection._thread.daemon = True  # as SQLAlchemy does with its own: a lost one must not keep the process
    return connection
