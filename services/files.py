"""Files opened in a thread, and closed whatever happens to who opened them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, Literal


@asynccontextmanager
async def opened(path: Path, mode: Literal["rb", "wb"]) -> AsyncIterator[BinaryIO]:
    """The open file while the block runs. A thread cannot be cancelled: who is cancelled meanwhile waits for it, and closes what it opened."""
    opening = asyncio.ensure_future(asyncio.to_thread(path.open, mode))
    try:
        stream: BinaryIO = await asyncio.shield(opening)
    except asyncio.CancelledError:
        (await opening).close()
        raise
    try:
        yield stream
    finally:
        await asyncio.shield(asyncio.to_thread(stream.close))
