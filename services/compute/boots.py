"""Whether the machine went down since this host's worker ran last: Linux names every boot."""

from pathlib import Path
from typing import Final

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
NOTE: Final = "boot_id"  # below the host's directory


def has_rebooted(directory: Path) -> bool:
    """Whether the boot is another one than noted; False when none is."""
    note = directory / NOTE
    return note.exists() and note.read_text().strip() != _now()


def note_boot(directory: Path) -> None:
    """Note this boot, once everything that it asks for is done."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / NOTE).write_text(f"{_now()}\n")


def _now() -> str:
    return BOOT_ID.read_text().strip() if BOOT_ID.exists() else ""
