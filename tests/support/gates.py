"""Places where a test can hold a hypervisor, or make it fail."""

import asyncio
from collections.abc import Collection

from novaflow.errors import GuestFailed


class Gate:
    """Holds the first `holds` calls of one driver operation until it is opened; `reached` is set when one waits."""

    def __init__(self, operation: str, *, holds: int = 1) -> None:
        self.reached = asyncio.Event()
        self._opened = asyncio.Event()
        self._operation = operation
        self.holds = holds

    async def __call__(self, host: str, operation: str, server_id: str) -> None:
        if operation == self._operation and self.holds > 0:
            self.holds -= 1
            self.reached.set()
            await self._opened.wait()

    def open(self) -> None:
        self._opened.set()


class Broken:
    """Fails an operation on some hosts (all by default), the first `times` times; `failed` lists where it did."""

    def __init__(self, operation: str, hosts: Collection[str] = (), *, times: int = 1_000_000) -> None:
        self.failed: list[str] = []
        self._operation = operation
        self._hosts = hosts
        self.times = times

    async def __call__(self, host: str, operation: str, server_id: str) -> None:
        if operation == self._operation and (not self._hosts or host in self._hosts) and self.times > 0:
            self.times -= 1
            self.failed.append(host)
            raise GuestFailed(operation=operation, server_id=server_id, reason="the hypervisor is broken")
