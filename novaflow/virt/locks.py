"""One operation at a time per guest."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class GuestLocks:
    """A lock per server id that exists only while somebody holds it or waits for it."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def hold(self, server_id: str) -> AsyncIterator[None]:
        """Waits until no other operation works on this guest."""
        lock, users = self._locks.get(server_id, (asyncio.Lock(), 0))
        self._locks[server_id] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks.pop(server_id)
            if users > 1:
                self._locks[server_id] = (lock, users - 1)
