"""Files that are opened in a thread are closed, whoever is cancelled."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from services.files import opened


async def test_a_file_is_open_while_the_block_runs(tmp_path: Path) -> None:
    async with opened(tmp_path / "file", "wb") as stream:
        stream.write(b"data")

    with pytest.raises(ValueError, match="closed"):
        stream.write(b"more")
    assert (tmp_path / "file").read_bytes() == b"data"


async def test_a_file_that_is_not_there_is_an_error_of_the_block(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        async with opened(tmp_path / "file", "rb"):
            pytest.fail("there is nothing to open")


class SlowPath:
    """A path that takes its time to open, and keeps what it opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_asked = threading.Event()
        self.may_go_on = threading.Event()
        self.stream: Any = None

    def open(self, mode: str) -> Any:
        """As Path.open."""
        self.is_asked.set()
        assert self.may_go_on.wait(10)
        self.stream = self.path.open(mode)
        return self.stream


async def test_a_file_that_is_opened_after_its_opener_was_cancelled_is_closed(tmp_path: Path) -> None:
    slow = SlowPath(tmp_path / "file")

    async def use() -> None:
        async with opened(slow, "wb"):  # type: ignore[arg-type]  # of a path it asks to be opened only
            pytest.fail("the opener was cancelled")

    using = asyncio.create_task(use())
    assert await asyncio.to_thread(slow.is_asked.wait, 10)
    using.cancel()
    slow.may_go_on.set()

    with pytest.raises(asyncio.CancelledError):
        await using
    assert slow.stream.closed
