"""A file on its way to another service: read a chunk at a time, never more than one in memory, and summed up as it goes."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, Final

from services.files import opened

CHUNK: Final = 2**20
_IDLE: Final = 30.0  # seconds in which nobody takes a chunk
_STORING: Final = 600.0  # seconds from the last chunk to the answer: what has come is looked through by then


class Outgoing:
    """One file as the body of a request. `md5` and `sent_bytes` are those of what was sent so far."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self.size = size
        self.sent_bytes = 0
        self._stream = stream
        self._digest = hashlib.md5(usedforsecurity=False)

    @property
    def md5(self) -> str:
        """As Glance's `checksum`."""
        return self._digest.hexdigest()

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[AsyncIterator[bytes]]:
        """The chunks, while somebody sends them. Raises TimeoutError when he stands still, or has no answer in the end."""
        async with asyncio.timeout(_IDLE) as deadline:
            yield self._chunks(deadline)

    async def _chunks(self, deadline: asyncio.Timeout) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        while chunk := await asyncio.to_thread(self._next):
            is_last = self.sent_bytes >= self.size
            deadline.reschedule(loop.time() + (_STORING if is_last else _IDLE))
            yield chunk

    def _next(self) -> bytes:
        chunk = self._stream.read(CHUNK)
        self._digest.update(chunk)
        self.sent_bytes += len(chunk)
        return chunk


@asynccontextmanager
async def outgoing(path: Path) -> AsyncIterator[Outgoing]:
    """The file, open while the block lasts. Raises OSError."""
    async with opened(path, "rb") as stream:
        yield Outgoing(stream, (await asyncio.to_thread(path.stat)).st_size)
