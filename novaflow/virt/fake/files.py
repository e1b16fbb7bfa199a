"""A fake host's directory: one file per guest, per parked guest and per guest that is expected from another host.

`guests/<id>.json`, `parked/<id>.json` and `incoming/<id>.json`. A guest that is parked or that moves to another host is one
file that is renamed, so at every moment it is in exactly one place. Everything here raises OSError.
"""

import shutil
from pathlib import Path

import msgspec

from novaflow.models import Value
from novaflow.virt.driver import GuestFile
from novaflow.virt.fake.disk import write_disk
from novaflow.virt.fake.guest import FakeGuest


class Expected(Value, frozen=True, kw_only=True):
    """What stands ready for a guest that comes while it runs."""

    disk_bytes: dict[str, int]  # by file name


class HostFiles:
    """What is below one host's directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self._guests = self.directory / "guests"
        self._parked = self.directory / "parked"
        self._incoming = self.directory / "incoming"

    def prepare(self) -> None:
        """Make what every host needs."""
        self._guests.mkdir(parents=True, exist_ok=True)

    def guest(self, server_id: str) -> FakeGuest | None:
        """The guest of that id; raises msgspec.DecodeError for a file that is damaged."""
        return _read(self._guests / f"{server_id}.json")

    def guests(self) -> dict[str, FakeGuest]:
        """Every guest by its id."""
        found = {server_id: self.guest(server_id) for server_id in _ids(self._guests)}
        return {server_id: guest for server_id, guest in found.items() if guest}

    def keep(self, guest: FakeGuest) -> None:
        """Write it, all or nothing."""
        _write(self._guests / f"{guest.server_id}.json", msgspec.json.encode(guest))

    def forget(self, server_id: str) -> None:
        """Remove a guest and what is expected of it; fine when there is nothing."""
        (self._guests / f"{server_id}.json").unlink(missing_ok=True)
        self.expect_no_more(server_id)

    def park(self, server_id: str) -> None:
        """Take a guest aside."""
        self._parked.mkdir(exist_ok=True)
        (self._guests / f"{server_id}.json").replace(self._parked / f"{server_id}.json")

    def unpark(self, server_id: str) -> None:
        """Put it back, in place of whatever guest has its id."""
        (self._parked / f"{server_id}.json").replace(self._guests / f"{server_id}.json")
        shutil.rmtree(self._parked / server_id, ignore_errors=True)

    def parked(self, server_id: str) -> FakeGuest | None:
        """The parked guest of that id."""
        return _read(self._parked / f"{server_id}.json")

    def parked_ids(self) -> list[str]:
        """Who is parked."""
        return _ids(self._parked)

    def forget_parked(self, server_id: str) -> None:
        """Remove a parked guest; fine when there is none."""
        (self._parked / f"{server_id}.json").unlink(missing_ok=True)
        shutil.rmtree(self._parked / server_id, ignore_errors=True)

    def unpack_parked(self, guest: FakeGuest) -> list[GuestFile]:
        """Files of a parked guest for another host: its disks and what it has said so far. Swap is made anew there."""
        home = self._parked / guest.server_id
        home.mkdir(exist_ok=True)
        for name, size in guest.disks.items():
            if name != "swap":
                write_disk(home / name, size, guest.content)
        (home / "console.log").write_text(guest.console)
        return [GuestFile(name=path.name, path=str(path)) for path in sorted(home.iterdir())]

    def expect(self, server_id: str, disk_bytes: dict[str, int]) -> None:
        """A guest will come, for which there are disks of these sizes."""
        self._incoming.mkdir(exist_ok=True)
        _write(self._incoming / f"{server_id}.json", msgspec.json.encode(Expected(disk_bytes=disk_bytes)))

    def expected(self, server_id: str) -> Expected | None:
        """What stands ready for the guest of that id."""
        path = self._incoming / f"{server_id}.json"
        return msgspec.json.decode(path.read_bytes(), type=Expected) if path.exists() else None

    def expected_ids(self) -> list[str]:
        """Who is expected, or has come and is not yet kept."""
        return _ids(self._incoming)

    def expect_no_more(self, server_id: str) -> None:
        """It has come, or will not; fine when it was not expected."""
        (self._incoming / f"{server_id}.json").unlink(missing_ok=True)

    def hand_over(self, server_id: str, destination: "HostFiles") -> None:
        """The guest is there from now on, and not here."""
        (self._guests / f"{server_id}.json").replace(destination._guests / f"{server_id}.json")


def _ids(directory: Path) -> list[str]:
    return sorted(file.stem for file in directory.glob("*.json"))


def _read(path: Path) -> FakeGuest | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=FakeGuest)
    except FileNotFoundError:
        return None


def _write(path: Path, content: bytes) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.replace(path)
