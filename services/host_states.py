"""The host states that builds are decided upon, shared by the builds of one process.

A decision must see whatever was committed before the build was taken up (a host disabled, room made free), and a
burst of builds must neither read the table once each nor all see the same emptiest host.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from novaflow.models import Host


@dataclass(eq=False)
class _Promise:
    host: str
    ram_mb: int
    is_claimed: bool = False


class HostStates:
    """Reads host states for many at a time and remembers what was promised since.

    A read serves everybody who asked before it began. A promise counts until a read that began after its claim shows it.
    """

    def __init__(self, read: Callable[[], Awaitable[list[Host]]]) -> None:
        self._read = read
        self._hosts: list[Host] = []
        self._begun = 0
        self._done = 0
        self._reading = asyncio.Lock()
        self._promises: set[_Promise] = set()

    async def fresh(self) -> list[Host]:
        """Every host, as of some moment after this call."""
        asked_at = self._begun
        async with self._reading:
            if self._done <= asked_at:
                await self._read_now()
            return self._hosts

    async def _read_now(self) -> None:
        self._begun += 1
        number = self._begun
        shown = {promise for promise in self._promises if promise.is_claimed}
        self._hosts = await self._read()
        self._promises -= shown
        self._done = number

    @property
    def promised(self) -> Mapping[str, int]:
        """MB of memory by host that the last read may not show as used."""
        sums: defaultdict[str, int] = defaultdict(int)
        for promise in self._promises:
            sums[promise.host] += promise.ram_mb
        return sums

    @contextmanager
    def promise(self, host: str, ram_mb: int) -> Iterator[None]:
        """Count `ram_mb` against `host` while the block claims it, and until a later read."""
        promise = _Promise(host, ram_mb)
        self._promises.add(promise)
        try:
            yield
        finally:
            promise.is_claimed = True
