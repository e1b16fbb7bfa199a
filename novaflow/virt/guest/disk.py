"""A disk that boots by itself, made without root or loop devices.

Master boot record, a FAT partition with syslinux, kernel and initramfs, and a second partition with a small file system
for what the guest wants to keep. mtools and syslinux write into plain files; the rest is bytes put into place.
"""

import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from novaflow.virt.guest.sources import CannotBuild

DATA_MIB: Final = 4
_MIB: Final = 2**20
_SECTOR: Final = 512
_FAT_START_MIB: Final = 1
_FAT_SPARE_MIB: Final = 3  # for syslinux and the file system's own tables
_FAT16_LBA, _LINUX = 0x0E, 0x83
_MBR_CODE_BYTES: Final = 440
_MBR_FILES: Final = ("/usr/lib/syslinux/mbr/mbr.bin", "/usr/lib/SYSLINUX/mbr.bin", "/usr/share/syslinux/mbr.bin")
_TOOLS: Final = {
    "mformat": "mtools",
    "mcopy": "mtools",
    "syslinux": "syslinux",
    "qemu-img": "qemu-utils",
    "mke2fs": "e2fsprogs",
}
_SAME: Final = {
    "SOURCE_DATE_EPOCH": "1700000000",
    "E2FSPROGS_FAKE_TIME": "1700000000",
    "MTOOLS_SKIP_CHECK": "1",
    "TZ": "UTC",
    "LC_ALL": "C",
}
_SERIAL: Final = "4e4f5641"
_FS_UUID: Final = "6e6f7661-666c-4f77-8675-657374646973"
_SECONDS: Final = 60.0


def missing_tools() -> list[str]:
    """The Debian packages without which no disk can be made."""
    path = _path()
    missing = {package for tool, package in _TOOLS.items() if shutil.which(tool, path=path) is None}
    if not any(Path(name).exists() for name in _MBR_FILES):
        missing.add("syslinux")
    return sorted(missing)


def make_blank_disk(target: Path) -> None:
    """An ext2 file system of DATA_MIB MiB: the disk of a guest that is booted with a kernel beside it."""
    target.write_bytes(b"")
    os.truncate(target, DATA_MIB * _MIB)
    options = ["-q", "-F", "-t", "ext2", "-b", "1024", "-m", "0", "-L", "novaflow", "-U", _FS_UUID]
    _run("mke2fs", *options, "-E", f"hash_seed={_FS_UUID},root_owner=0:0", str(target))


def make_disk(target: Path, kernel: Path, initramfs: Path, command_line: str) -> None:
    """The whole disk as qcow2; raises CannotBuild."""
    missing = missing_tools()
    if missing:
        raise CannotBuild(f"a bootable disk needs more: apt-get install {' '.join(missing)}")
    with tempfile.TemporaryDirectory(dir=target.parent) as made:
        work = Path(made)
        boot_mib = -(-(kernel.stat().st_size + initramfs.stat().st_size) // _MIB) + _FAT_SPARE_MIB
        boot, data, raw = work / "boot", work / "data", work / "raw"
        _make_boot_partition(boot, boot_mib, kernel, initramfs, command_line)
        make_blank_disk(data)
        data_start = _FAT_START_MIB + boot_mib
        with raw.open("wb") as disk:
            disk.write(_boot_record(boot_mib, data_start))
            disk.seek(_FAT_START_MIB * _MIB)
            disk.write(boot.read_bytes())
            disk.write(data.read_bytes())
        _run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(target))


def _make_boot_partition(boot: Path, mib: int, kernel: Path, initramfs: Path, command_line: str) -> None:
    boot.write_bytes(b"")
    os.truncate(boot, mib * _MIB)
    image = ["-i", str(boot)]
    hidden = str(_FAT_START_MIB * _MIB // _SECTOR)
    sectors = str(mib * _MIB // _SECTOR)
    _run("mformat", *image, "-v", "NOVAFLOW", "-N", _SERIAL, "-H", hidden, "-h", "16", "-s", "63", "-T", sectors, "::")
    config = boot.with_name("syslinux.cfg")
    config.write_text(
        f"SERIAL 0 115200\nDEFAULT linux\nPROMPT 0\nTIMEOUT 0\n"
        f"LABEL linux\n LINUX vmlinuz\n INITRD initrd.gz\n APPEND {command_line}\n"
    )
    for source, name in ((kernel, "vmlinuz"), (initramfs, "initrd.gz"), (config, "syslinux.cfg")):
        _run("mcopy", *image, str(source), f"::{name}")
    _run("syslinux", "--install", str(boot))


def _boot_record(boot_mib: int, data_start_mib: int) -> bytes:
    """Boot code, and a table of two partitions in LBA; the CHS fields say that they do not apply."""
    code = next(Path(name) for name in _MBR_FILES if Path(name).exists()).read_bytes()[:_MBR_CODE_BYTES]
    rows = b""
    for active, kind, start, size in (
        (0x80, _FAT16_LBA, _FAT_START_MIB, boot_mib),
        (0x00, _LINUX, data_start_mib, DATA_MIB),
    ):
        lba = [mib * _MIB // _SECTOR for mib in (start, size)]
        rows += struct.pack("<B3sB3sII", active, b"\xfe\xff\xff", kind, b"\xfe\xff\xff", *lba)
    return code.ljust(446, b"\0") + rows.ljust(64, b"\0") + b"\x55\xaa"


def _run(*command: str) -> None:
    environment = {**os.environ, **_SAME, "PATH": _path()}
    try:
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=_SECONDS)
    except FileNotFoundError:
        raise CannotBuild(f"{command[0]} is missing: apt-get install {_TOOLS[command[0]]}") from None
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = error.stderr if isinstance(error.stderr, str) else str(error)
        raise CannotBuild(f"{command[0]} failed: {said.strip()}") from None


def _path() -> str:
    """mke2fs is in a directory that ordinary users do not search."""
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
