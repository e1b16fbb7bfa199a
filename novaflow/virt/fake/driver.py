"""The fake driver, put together from what it can do."""

from collections.abc import AsyncIterator
from pathlib import Path

from novaflow.hosts import HostResources
from novaflow.virt.driver import GuestState
from novaflow.virt.fake.disk import write_disk
from novaflow.virt.fake.guest import FakeGuest, halted
from novaflow.virt.fake.host import Before, FakeDelays, FakeHost, refused
from novaflow.virt.fake.life import Living
from novaflow.virt.fake.migrating import Migrating
from novaflow.virt.fake.moving import Moving
from novaflow.virt.fake.remembering import Remembering
from novaflow.virt.fake.rescuing import Rescuing
from novaflow.virt.fake.showing import Showing
from novaflow.virt.fake.storing import Storing


class FakeDriver(Living, Remembering, Rescuing, Moving, Migrating, Storing, Showing):
    """Driver over a directory of its own. `answers_power_button` is False for guests that ignore being asked."""

    def __init__(
        self,
        directory: Path,
        resources: HostResources,
        *,
        delays: FakeDelays | None = None,
        before: Before | None = None,
        answers_power_button: bool = True,
    ) -> None:
        self._host = FakeHost(
            directory,
            resources,
            delays=delays or FakeDelays(),
            before=before,
            answers_power_button=answers_power_button,
        )

    async def open(self) -> None:
        """Find the guests that an earlier process left running."""
        self._host.open()

    async def close(self) -> None:
        """Listeners end; the guests stay."""
        self._host.events.close()

    async def resources(self) -> HostResources:
        """What it was told to have."""
        return self._host.resources

    async def guests(self) -> list[GuestState]:
        """Every guest, on or off."""
        return [GuestState(server_id=guest.server_id, power=guest.power) for guest in self._host.all()]

    async def leftovers(self) -> list[str]:
        """Guests that were expected from another host and have not come."""
        return [server_id for server_id in self._host.files.expected_ids() if self._host.files.guest(server_id) is None]

    async def snapshot(self, server_id: str, path: Path) -> None:
        """A qcow2 file that is as large inside as the disk and notes what is on it. The guest's end ends this too."""
        async with self._host.alone("snapshot", server_id):
            self._host.known("snapshot", server_id)
            with self._host.copying.allowed(server_id):
                await self._host.begin("snapshot", server_id, self._host.delays.snapshot)
            guest = self._host.known("snapshot", server_id)
            if not guest.content:
                raise refused("snapshot", server_id, "the guest has no root disk")
            write_disk(path, guest.disks["disk"], guest.content)

    def events(self) -> AsyncIterator[GuestState]:
        """Every change of power."""
        return self._host.events.listen()

    def guest_dies(self, server_id: str) -> None:
        """What a crash of QEMU or a guest's own shutdown looks like from outside; for tests and experiments."""
        self._host.keep(halted(self._host.known("guest_dies", server_id)))

    def inside(self, server_id: str) -> FakeGuest:
        """What nobody sees from outside: memory, disk, and what the guest really got; for tests and experiments."""
        return self._host.known("inside", server_id)
