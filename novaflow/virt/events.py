"""Power states as they change, from whoever sees them to whoever listens."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from novaflow.virt.driver import GuestState

BACKLOG: Final = 4096  # events a listener may be behind; older ones are dropped, for an event is a hint


class PowerEvents:
    """A fan-out to any number of listeners on one event loop."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Queue[GuestState | None]] = set()
        self._closed = False

    def publish(self, state: GuestState) -> None:
        """Tell every listener; on the loop's thread only."""
        for queue in self._listeners:
            _put(queue, state)

    def close(self) -> None:
        """End every listener's iteration after what it has not read yet."""
        self._closed = True
        for queue in self._listeners:
            _put(queue, None)

    def reopen(self) -> None:
        """Listeners that come from now on hear events again."""
        self._closed = False

    def listen(self) -> AsyncIterator[GuestState]:
        """Everything published from this call on, until `close`."""
        queue: asyncio.Queue[GuestState | None] = asyncio.Queue(BACKLOG)
        if not self._closed:
            self._listeners.add(queue)
        return self._read(queue)

    async def _read(self, queue: asyncio.Queue[GuestState | None]) -> AsyncIterator[GuestState]:
        try:
            while queue in self._listeners and (state := await queue.get()) is not None:
                yield state
        finally:
            self._listeners.discard(queue)


def _put(queue: asyncio.Queue[GuestState | None], item: GuestState | None) -> None:
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(item)
