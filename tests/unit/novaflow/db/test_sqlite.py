"""Connections to SQLite end, and their files are closed, however they end."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from novaflow.db import sqlite


class Recorded(sqlite3.Connection):
    """One that tells whether it was closed."""

    is_closed = False

    def close(self) -> None:
        super().close()
        self.is_closed = True


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Recorded]:
    """Every connection that is opened."""
    made: list[Recorded] = []

    def connect(database: str, **options: Any) -> Recorded:
        made.append(Recorded(database, **options))
        return made[-1]

    monkeypatch.setattr(sqlite3, "connect", connect)
    return made


async def test_a_connection_that_is_stopped_while_it_is_closed_ends(tmp_path: Path, opened: list[Recorded]) -> None:
    connection = await sqlite.connect(str(tmp_path / "x.db"))

    stopped = connection.stop()
    closing = asyncio.gather(connection.close(), return_exceptions=True)

    await asyncio.wait_for(closing, 10)
    assert stopped is not None
    assert stopped.done()
    assert [one.is_closed for one in opened] == [True]


async def test_a_connection_that_is_cancelled_while_it_is_opened_leaves_no_file_open(
    tmp_path: Path, opened: list[Recorded]
) -> None:
    connection = sqlite.connect(str(tmp_path / "x.db"))

    async def opening() -> None:
        await connection

    task = asyncio.create_task(opening())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    stopped = connection.stop()

    assert stopped is not None
    await asyncio.wait_for(stopped, 10)
    assert [one.is_closed for one in opened] == [True]
