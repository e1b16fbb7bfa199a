"""Moving to another host, or to another flavor, while off."""

from pathlib import Path

import msgspec

from novaflow.virt.checks import GIB, check_adoption
from novaflow.virt.driver import DiskImage, GuestFile, GuestSpec
from novaflow.virt.fake.guest import FakeGuest, made
from novaflow.virt.fake.host import FakeHost, refused
from novaflow.virt.fake.life import content_of
from novaflow.virt.image_facts import read_header


class Moving:
    """The part of FakeDriver that takes guests aside and makes guests from the files of others."""

    _host: FakeHost

    async def park(self, server_id: str) -> None:
        """Aside, by one rename. While it is there, another guest of its id stays where it is."""
        async with self._host.alone("park", server_id):
            await self._host.begin("park", server_id)
            if self._host.files.parked(server_id):
                return
            guest = self._host.known("park", server_id)
            if guest.is_on:
                raise refused("park", server_id, "the guest runs")
            if guest.is_saved:
                raise refused("park", server_id, "the guest's memory is saved: resume it or power it off first")
            self._host.files.park(server_id)
            self._host.lose(server_id)

    async def parked(self) -> list[str]:
        """Who is aside."""
        return self._host.files.parked_ids()

    async def parked_files(self, server_id: str) -> list[GuestFile]:
        """Written when they are asked for: nobody needs the files of a guest that does not move."""
        async with self._host.alone("parked_files", server_id):
            await self._host.begin("parked_files", server_id)
            return self._host.files.unpack_parked(self._parked("parked_files", server_id))

    async def adopt(self, guest: GuestSpec, files: list[GuestFile], *, is_running: bool) -> None:
        """What is on the disk stays, and nothing becomes smaller."""
        async with self._host.alone("adopt", guest.server_id):
            adopted = _adopted(guest, files)
            self._host.forget(guest.server_id)
            await self._host.begin("adopt", guest.server_id, self._host.delays.adopt)
            for file in files:
                Path(file.path).unlink(missing_ok=True)
            self._host.keep(adopted)
            if is_running:
                self._host.start(adopted)

    async def unpark(self, server_id: str, *, is_running: bool) -> None:
        """Back in its place, by one rename; fine when it is there already."""
        async with self._host.alone("unpark", server_id):
            await self._host.begin("unpark", server_id)
            if self._host.files.parked(server_id):
                self._host.forget(server_id)
                self._host.files.unpark(server_id)
                self._host.find_again(server_id)
            guest = self._host.known("unpark", server_id)
            if is_running:
                self._host.start(guest)

    async def forget_parked(self, server_id: str) -> None:
        """Only what is aside."""
        async with self._host.alone("forget_parked", server_id):
            await self._host.begin("forget_parked", server_id)
            self._host.files.forget_parked(server_id)

    def _parked(self, operation: str, server_id: str) -> FakeGuest:
        guest = self._host.files.parked(server_id)
        if guest is None:
            raise refused(operation, server_id, "there is no such parked guest on this host")
        return guest


def _adopted(guest: GuestSpec, files: list[GuestFile]) -> FakeGuest:
    """The guest with the disks that came, which the flavor may make larger; raises GuestFailed with operation `adopt`."""
    found = check_adoption(guest, files)
    came = {file.name: Path(file.path) for file in files}
    if found is None:
        adopted = made(guest, content="", disk_bytes=0)
    else:
        adopted = made(
            guest,
            content=content_of(_image(came["disk"])),
            disk_bytes=max(found.virtual_bytes, guest.flavor.disk_gb * GIB),
        )
    disks = adopted.disks
    if "ephemeral" in came:
        ephemeral = read_header(_image(came["ephemeral"]))
        disks = disks | {"ephemeral": max(ephemeral.virtual_bytes if ephemeral else 0, disks.get("ephemeral", 0))}
    console = came["console.log"].read_text(errors="replace") if "console.log" in came else ""
    return msgspec.structs.replace(adopted, disks=disks, console=console)


def _image(path: Path) -> DiskImage:
    return DiskImage(path=str(path), format="qcow2", size_bytes=path.stat().st_size)
