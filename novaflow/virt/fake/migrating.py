"""Moving to another fake host of this machine while running."""

from pathlib import Path
from typing import Final

from novaflow.states import Power
from novaflow.virt.checks import check_arrival
from novaflow.virt.driver import GuestSpec, Incoming
from novaflow.virt.fake.files import HostFiles
from novaflow.virt.fake.guest import DISKS, FakeGuest, went_on
from novaflow.virt.fake.host import FakeHost, refused

KIND: Final = "fake"


class Migrating:
    """The part of FakeDriver that hands running guests over. Where a guest goes is the directory of the other host."""

    _host: FakeHost

    async def prepare_incoming(self, guest: GuestSpec, disk_bytes: dict[str, int]) -> Incoming:
        """Expect it, unless it is here: one that has come must not be lost to an order that comes twice."""
        async with self._host.alone("prepare_incoming", guest.server_id):
            await self._host.begin("prepare_incoming", guest.server_id)
            check_arrival(guest, disk_bytes)
            unknown = sorted(disk_bytes.keys() - set(DISKS))
            if unknown:
                raise refused("prepare_incoming", guest.server_id, f"no guest has a disk {unknown[0]!r}")
            if self._host.get(guest.server_id):
                raise refused("prepare_incoming", guest.server_id, "there is a guest of this id on this host")
            self._host.expect(guest.server_id, disk_bytes)
            return Incoming(kind=KIND, uri=str(self._host.files.directory))

    async def disk_sizes(self, server_id: str) -> dict[str, int]:
        """What it was made with."""
        return dict(self._host.known("disk_sizes", server_id).disks)

    async def migrate(self, server_id: str, incoming: Incoming) -> None:
        """It goes on here until, by one rename, it is there. One that got there in an earlier try is a success."""
        async with self._host.alone("migrate", server_id):
            if self._has_arrived(server_id, incoming):
                return
            self._fits(server_id, incoming)
            with self._host.copying.allowed(server_id):
                await self._host.travel(server_id)
            there = self._fits(server_id, incoming)  # much may have changed in that time
            self._host.files.hand_over(server_id, there)
            self._host.lose(server_id)
            self._host.tell(server_id, Power.SHUTDOWN)

    async def force_complete(self, server_id: str) -> None:
        """It stands still for a moment, which those hear who listen, and is there."""
        if not self._host.force(server_id):
            raise refused("force_complete", server_id, "the guest is not migrating")
        if self._host.known("force_complete", server_id).power is Power.RUNNING:
            self._host.tell(server_id, Power.PAUSED)

    async def finish_incoming(self, server_id: str) -> None:
        """What was its way here is forgotten; it goes on with the memory it came with."""
        async with self._host.alone("finish_incoming", server_id):
            await self._host.begin("finish_incoming", server_id)
            guest = self._host.get(server_id)
            if guest is None:
                raise refused("finish_incoming", server_id, "the guest has not come")
            if self._host.expect_no_more(server_id):
                self._host.keep(went_on(guest) if guest.power == Power.RUNNING else guest)
                self._host.tell(server_id, guest.power)

    def _has_arrived(self, server_id: str, incoming: Incoming) -> bool:
        is_ours = incoming.kind == KIND and self._host.get(server_id) is None
        return is_ours and HostFiles(Path(incoming.uri)).guest(server_id) is not None

    def _fits(self, server_id: str, incoming: Incoming) -> HostFiles:
        """The destination's files; raises GuestFailed when the guest cannot go there."""
        guest = self._host.switched_on("migrate", server_id)
        if incoming.kind != KIND:
            raise refused("migrate", server_id, f"a fake guest cannot move to a host of kind {incoming.kind!r}")
        if guest.rescue:
            raise refused("migrate", server_id, "the guest is rescued")
        there = HostFiles(Path(incoming.uri))
        _must_have_room(guest, there)
        return there


def _must_have_room(guest: FakeGuest, there: HostFiles) -> None:
    expected = there.expected(guest.server_id)
    if expected is None:
        raise refused("migrate", guest.server_id, "the destination does not expect the guest")
    for name, size in guest.disks.items():
        if expected.disk_bytes.get(name, 0) < size:
            raise refused("migrate", guest.server_id, f"the destination has no {name} of {size} bytes")
