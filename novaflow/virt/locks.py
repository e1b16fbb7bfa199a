"""One operation at a time per guest."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager


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

    @asynccontextmanager
    async def hold_all(self, ids: Iterable[str]) -> AsyncIterator[None]:
        """The same for several, always in the same order, so that nobody waits for somebody who waits for him."""
        async with AsyncExitStack() as held:
            for one in sorted(ids):
                await held.enter_async_context(self.hold(one))
            yield
