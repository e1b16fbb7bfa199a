"""Moving to another host, or to another flavor, while off."""

from pathlib import Path

import msgspec

from novaflow.virt.checks import GIB
from novaflow.virt.driver import DiskImage, GuestFile, GuestSpec
from novaflow.virt.fake.guest import FakeGuest, made
from novaflow.virt.fake.host import FakeHost, check, refused
from novaflow.virt.fake.life import content_of, image_bytes


class Moving:
    """The part of FakeDriver that takes guests aside and makes guests from the files of others."""

    _host: FakeHost

    async def park(self, server_id: str) -> None:
        """Aside, by one rename. A second guest of the same id is not put over the first."""
        async with self._host.alone("park", server_id):
            await self._host.begin("park", server_id)
            guest, aside = self._host.get(server_id), self._host.files.parked(server_id)
            if guest is None and aside is None:
                raise refused("park", server_id, "there is no such guest on this host")
            if guest and guest.is_on:
                raise refused("park", server_id, "the guest is running")
            if guest and aside:
                raise refused("park", server_id, "another guest of this id is parked already")
            if guest:
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
            self._host.forget(guest.server_id)
            adopted = _adopted(guest, {file.name: Path(file.path) for file in files})
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


def _adopted(guest: GuestSpec, files: dict[str, Path]) -> FakeGuest:
    """The guest with the disks that came, which the flavor may make larger; raises GuestFailed with operation `adopt`."""
    for name, path in files.items():
        if Path(name).name != name or not path.is_file():
            raise refused("adopt", guest.server_id, f"{name!r} at {path} is not a file of a guest")
    if guest.disk and "disk" not in files:
        raise refused("adopt", guest.server_id, "its disk is not among the files")
    disk, ephemeral = files.get("disk"), files.get("ephemeral")
    if disk is None:
        adopted = made(guest, content="", disk_bytes=0)
        check("adopt", guest)
    else:
        adopted = made(
            guest, content=content_of(_image(disk)), disk_bytes=max(_size(guest, disk), guest.flavor.disk_gb * GIB)
        )
    disks = adopted.disks
    if ephemeral:
        disks = disks | {"ephemeral": max(_size(guest, ephemeral), disks.get("ephemeral", 0))}
    console = files["console.log"].read_text(errors="replace") if "console.log" in files else ""
    return msgspec.structs.replace(adopted, disks=disks, console=console)


def _size(guest: GuestSpec, path: Path) -> int:
    """The size inside of a disk that came; raises GuestFailed for one that does not stand alone."""
    image = _image(path)
    flavor = msgspec.structs.replace(guest.flavor, disk_gb=0)
    return image_bytes(image, check("adopt", msgspec.structs.replace(guest, disk=image, flavor=flavor)))


def _image(path: Path) -> DiskImage:
    return DiskImage(path=str(path), format="qcow2", size_bytes=path.stat().st_size)
