"""The files of the guests on this host: one directory per guest, removed with it."""

import errno
import os
import shutil
from pathlib import Path
from typing import Final

from novaflow.virt.domain_facts import Paths

CONSOLE_LIMIT: Final = 4 * 2**20  # bytes kept of a console log: a guest must not fill the host's disk
CONFIG_DRIVE: Final = "config.iso"
DEFINITION: Final = "domain.xml"  # of a parked guest
_ASIDE: Final = "_resize"  # after the directory's name while the guest is parked, as Nova names it


class InstanceFiles:
    """`<directory>/instances/<server id>/`: disk (a qcow2 overlay), ephemeral, swap, config.iso and console.log.

    That of a parked guest is `<server id>_resize` and has its definition in it, domain.xml.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()

    @property
    def homes(self) -> Path:
        """Where the guests' directories are, by their ids."""
        return self.directory / "instances"

    def of(self, server_id: str) -> Path:
        """The guest's directory."""
        return self.homes / server_id

    def aside(self, server_id: str) -> Path:
        """The directory of the parked guest of that id."""
        return self.directory / "instances" / f"{server_id}{_ASIDE}"

    def all_ids(self) -> list[str]:
        """Of every directory there is, parked ones left out."""
        return [name for name in self._names() if not name.endswith(_ASIDE)]

    def parked_ids(self) -> list[str]:
        """Of the parked ones."""
        return [name.removesuffix(_ASIDE) for name in self._names() if name.endswith(_ASIDE)]

    def make(self, server_id: str, config_drive: bytes) -> Paths:
        """An empty directory but for the config drive."""
        self.of(server_id).mkdir(parents=True)
        write_config_drive(self.of(server_id), config_drive)
        return self.paths(server_id)

    def paths(self, server_id: str) -> Paths:
        """The files of the guest that are there. The console log may yet come."""
        home = self.of(server_id)

        def there(name: str) -> str:
            return str(home / name) if (home / name).exists() else ""

        return Paths(
            console=str(home / "console.log"),
            disk=there("disk"),
            ephemeral=there("ephemeral"),
            swap=there("swap"),
            config_drive=there(CONFIG_DRIVE),
        )

    def remove_parked(self, server_id: str) -> None:
        """Everything of the parked guest of that id; fine when there is nothing. Raises OSError."""
        _remove_tree(self.aside(server_id))

    def remove(self, server_id: str) -> None:
        """Everything of this guest; fine when there is nothing. Raises OSError."""
        _remove_tree(self.of(server_id))

    def console_end(self, server_id: str, max_bytes: int) -> bytes:
        """The last bytes of the console log; none when there is no log."""
        try:
            with (self.of(server_id) / "console.log").open("rb") as stream:
                size = stream.seek(0, os.SEEK_END)
                stream.seek(max(0, size - max(0, max_bytes)))
                return stream.read(max(0, max_bytes))
        except FileNotFoundError:
            return b""

    def trim_console(self, server_id: str) -> None:
        """Cut a console log that has outgrown CONSOLE_LIMIT down to its last quarter. QEMU appends, so it goes on at the new end."""
        path = self.of(server_id) / "console.log"
        if not path.exists() or path.stat().st_size <= CONSOLE_LIMIT:
            return
        kept = self.console_end(server_id, CONSOLE_LIMIT // 4)
        with path.open("r+b") as stream:
            stream.truncate(0)
        with path.open("ab") as stream:
            stream.write(kept)

    def _names(self) -> list[str]:
        directory = self.directory / "instances"
        return sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []


def write_config_drive(directory: Path, image: bytes) -> None:
    """Nobody else may read it: it may hold a password. None where there is no image."""
    if image:
        opened = os.open(directory / CONFIG_DRIVE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(opened, "wb") as stream:
            stream.write(image)


def write_whole(path: Path, text: str) -> None:
    """All of it or nothing, whenever the process ends."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(text)
    fresh.replace(path)


def _remove_tree(path: Path) -> None:
    """A second time if something has come meanwhile: the other end of a wire, which comes only while the wire's note is there."""
    if path.exists():
        try:
            shutil.rmtree(path)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            shutil.rmtree(path)
