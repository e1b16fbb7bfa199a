"""What tests of the libvirt driver need: a reason to skip or not, short directories, and a guest of 512 bytes."""

import atexit
import functools
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from novaflow.virt.choose import EMBEDDED, missing_for
from novaflow.virt.libvirt.embed import CannotEmbed, check_user

MIB = 2**20


def why_not() -> str:
    """Why libvirt cannot be used here; empty when it can."""
    missing = missing_for(EMBEDDED)
    try:
        check_user()
    except CannotEmbed as error:
        missing.append(str(error))
    return "; ".join(missing)


def need_libvirt() -> None:
    """Skip where libvirt is not installed, but fail in CI, where it should be."""
    reason = why_not()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(f"libvirt should be usable in CI: {reason}")
    if reason:
        pytest.skip(reason)


@contextmanager
def short_directory() -> Iterator[Path]:
    """A directory whose path leaves room for libvirt's sockets; pytest's own are too long. Its guests end with it."""
    path = Path(tempfile.mkdtemp(prefix="nf-", dir="/tmp"))
    try:
        yield path
    finally:
        remove(path)


@functools.cache
def process_directory() -> Path:
    """The one directory below which this process may run an embedded libvirt; gone when the process ends."""
    path = Path(tempfile.mkdtemp(prefix="nf-", dir="/tmp"))
    atexit.register(remove, path)
    return path


def remove(directory: Path) -> None:
    """The directory and the guests that a failed test left on an embedded libvirt anywhere below it: QEMU outlives us."""
    for file in directory.glob("**/run/qemu/instance-*.pid"):
        with suppress(OSError, ValueError):
            pid = int(file.read_text())
            if str(directory) in Path(f"/proc/{pid}/cmdline").read_text():
                os.kill(pid, signal.SIGKILL)
    shutil.rmtree(directory, ignore_errors=True)


def boot_sector(says: bytes = b"HELLO\r\n") -> bytes:
    """A disk of 1 MiB whose boot sector writes `says` to the first serial port and halts for ever.

    Real-mode code; it ignores the power button. SeaBIOS refuses to boot smaller virtio disks.
    """
    code = bytearray.fromhex("fa31c08ed88ec08ed0bc007cfb")  # no interrupts, zero segments, a stack, interrupts
    code += b"\xfc\xbe\x00\x00"  # forwards; si = the text's address, set below
    address_at = len(code) - 2
    loop = len(code)
    code += bytes.fromhex("ac84c0740e88c1")  # next byte; zero: to the end; keep it
    code += bytes.fromhex("bafd03eca82074fb")  # wait until the port takes a byte
    code += bytes.fromhex("baf80388c8ee") + b"\xeb"  # write it
    code.append((loop - len(code) - 1) & 0xFF)  # and again
    code[loop + 4] = len(code) - (loop + 5)
    code += bytes.fromhex("f4ebfd")  # halt, for ever
    code[address_at : address_at + 2] = (0x7C00 + len(code)).to_bytes(2, "little")
    code += says + b"\0"
    return bytes(code).ljust(510, b"\0") + b"\x55\xaa" + bytes(MIB - 512)


def sector_image(directory: Path) -> Path:
    """A raw image with that boot sector."""
    path = directory / "sector.img"
    path.write_bytes(boot_sector())
    return path


def qemu_process(directory: Path, server_id: str) -> int:
    """The process id of a guest's QEMU, as the embedded libvirt below `directory` has it."""
    name = f"instance-{server_id.replace('-', '')[:8]}"
    return int((directory / "libvirt" / "run" / "qemu" / f"{name}.pid").read_text())
