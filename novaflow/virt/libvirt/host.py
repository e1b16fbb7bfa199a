"""What all operations of one compute host share: its connection, its guests' files, and one operation at a time per guest."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import libvirt

from novaflow.errors import GuestFailed
from novaflow.virt.domain_facts import Machine, Owner
from novaflow.virt.instance_files import InstanceFiles
from novaflow.virt.interruptions import Interruptions
from novaflow.virt.libvirt import leftovers
from novaflow.virt.libvirt.connection import Connection
from novaflow.virt.libvirt.failures import failures
from novaflow.virt.libvirt.route import Route
from novaflow.virt.locks import GuestLocks
from novaflow.virt.volume_files import VolumeFiles

P = ParamSpec("P")
T = TypeVar("T")


class LibvirtHost:
    """One host. `machine` and the connection are there once the driver is open."""

    def __init__(self, name: str, directory: Path, on_notice: Callable[[str], None], route: Route) -> None:
        self.name = name
        self.route = route
        self.files = InstanceFiles(directory / name)
        self.volumes = VolumeFiles(directory / name)
        self.owner = Owner(host=name, directory=str(self.files.directory))
        self.machine = Machine(virt_type="qemu", emulator="")
        self.known: set[str] = set()  # ids of our guests, whose events are told
        self.copying = Interruptions()
        self.root: Path | None = None  # of the embedded libvirt
        self._on_notice = on_notice
        self._locks = GuestLocks()
        self._shared: Connection | None = None

    @property
    def connection(self) -> Connection:
        """Raises GuestFailed unless the driver is open."""
        if self._shared is None:
            raise GuestFailed(operation="use", server_id=f"host {self.name}", reason="the driver is not open")
        return self._shared

    def use(self, connection: Connection) -> None:
        """From now on this one."""
        self._shared = connection

    def leave(self) -> Connection | None:
        """The connection, which is not used any more."""
        shared, self._shared = self._shared, None
        return shared

    def notice(self, text: str) -> None:
        """Tell the operator, unless a host of this process did already."""
        if self.connection.is_news(text):
            self._on_notice(text)

    @asynccontextmanager
    async def working(self, operation: str, server_id: str) -> AsyncIterator[None]:
        """The only operation on this guest; what an earlier process left half done is undone first. Failures are GuestFailed."""
        async with self._locks.hold(server_id):
            with failures(operation, server_id):
                await leftovers.clear(self.connection, self.files, self.owner, server_id)
                yield

    def at_rest(self, volume_ids: Iterable[str]) -> AbstractAsyncContextManager[None]:
        """Nobody copies these volumes, so a guest may begin to write to them. For whoever works on that guest."""
        return self._locks.hold_all(volume_ids)

    async def run(
        self,
        work: Callable[Concatenate[libvirt.virConnect, Owner, P], T],
        *arguments: P.args,
        **named: P.kwargs,
    ) -> T:
        """`work(link, owner, ...)` in a thread, with the deadline of an ordinary call."""
        return await self.connection.run(work, self.owner, *arguments, **named)
