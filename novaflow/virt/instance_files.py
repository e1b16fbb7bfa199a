"""The files of the guests on this host: one directory per guest, removed with it."""

import asyncio
import os
import shutil
from pathlib import Path
from typing import Final

from novaflow.virt.checks import GIB
from novaflow.virt.domain_xml import Paths
from novaflow.virt.driver import DiskImage
from novaflow.virt.image_facts import Format

CONSOLE_LIMIT: Final = 4 * 2**20  # bytes kept of a console log: a guest must not fill the host's disk
_QEMU_IMG_SECONDS: Final = 60.0


class InstanceFiles:
    """`<directory>/instances/<server id>/`: disk (a qcow2 overlay), config.iso and console.log."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()

    def of(self, server_id: str) -> Path:
        """The guest's directory."""
        return self.directory / "instances" / server_id

    def make(self, server_id: str, config_drive: bytes) -> Paths:
        """An empty directory but for the config drive, which nobody else may read: it may hold a password."""
        home = self.of(server_id)
        home.mkdir(parents=True)
        console = home / "console.log"
        if config_drive:
            iso = home / "config.iso"
            with os.fdopen(os.open(iso, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
                stream.write(config_drive)
            return Paths(console=str(console), config_drive=str(iso))
        return Paths(console=str(console))

    def remove(self, server_id: str) -> None:
        """Everything of this guest; fine when there is nothing. Raises OSError."""
        home = self.of(server_id)
        if home.exists():
            shutil.rmtree(home)

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


class OverlayFailed(Exception):
    """qemu-img could not make a disk; the text is what it said."""


async def create_overlay(path: Path, image: DiskImage, found: Format, disk_gb: int) -> None:
    """A qcow2 disk of `disk_gb` GB (0: of the image's own size) that reads what it has not written from `image`.

    Both formats are said: QEMU must never guess the format of bytes that a user gave. Raises OverlayFailed.
    """
    size = disk_gb * GIB or found.virtual_bytes
    process = await asyncio.create_subprocess_exec(
        "qemu-img", "create", "-q", "-f", "qcow2", "-F", found.qemu, "-b", image.path, str(path), str(size),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        _, said = await asyncio.wait_for(process.communicate(), _QEMU_IMG_SECONDS)
    except BaseException:  # given up or cancelled: it must not write into a directory that is being removed
        if process.returncode is None:
            process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        raise OverlayFailed(said.decode(errors="replace").strip() or f"qemu-img ended with {process.returncode}")
