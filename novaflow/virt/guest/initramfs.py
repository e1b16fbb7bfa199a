"""The guest's initramfs, made without root: a cpio archive is only bytes, device nodes included."""

import gzip
import io
import stat
import subprocess
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Final

from novaflow.models import Value
from novaflow.virt.guest.modules import Module

_DIRECTORIES: Final = ("bin", "dev", "proc", "sys", "run", "lib", "lib/modules", "etc", "tmp", "root", "config", "disk")
_BASH: Final = b'#!/bin/sh\nexec /bin/sh "$@"\n'  # scripts that ask for bash get the shell there is
_LEVEL: Final = 6


class Entry(Value, frozen=True, kw_only=True):
    """One name in the archive; `device` is major and minor."""

    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def build_initramfs(busybox: Path, modules: Iterable[Module], more: Iterable[Entry] = ()) -> bytes:
    """Busybox with all its names, the modules in the order of loading, init.sh as /init, and `more`; gzipped, always the same bytes."""
    entries = [Entry(name=name, mode=stat.S_IFDIR | 0o755) for name in _DIRECTORIES]
    entries.append(Entry(name="dev/console", mode=stat.S_IFCHR | 0o600, device=(5, 1)))
    entries.append(Entry(name="bin/busybox", mode=stat.S_IFREG | 0o755, data=busybox.read_bytes()))
    entries += [Entry(name=f"bin/{name}", mode=stat.S_IFLNK | 0o777, data=b"busybox") for name in _applets(busybox)]
    entries.append(Entry(name="bin/bash", mode=stat.S_IFREG | 0o755, data=_BASH))
    for number, module in enumerate(modules):
        name = f"lib/modules/{number:02}-{module.name}.ko"
        entries.append(Entry(name=name, mode=stat.S_IFREG | 0o644, data=module.data))
    entries.append(Entry(name="init", mode=stat.S_IFREG | 0o755, data=init_script()))
    entries += more
    packed = io.BytesIO()
    with gzip.GzipFile("", "wb", _LEVEL, packed, mtime=0) as stream:
        stream.write(archive(entries))
    return packed.getvalue()


def init_script() -> bytes:
    """What process 1 of the guest does."""
    return resources.files("novaflow.virt.guest").joinpath("init.sh").read_bytes()


def archive(entries: Iterable[Entry]) -> bytes:
    """A cpio archive in the `newc` format (Linux Documentation/driver-api/early-userspace/buffer-format.rst)."""
    out = bytearray()
    for inode, entry in enumerate([*entries, Entry(name="TRAILER!!!", mode=0)], 1):
        name = entry.name.encode() + b"\0"
        fields = (inode, entry.mode, 0, 0, 1, 0, len(entry.data), 0, 0, *entry.device, len(name), 0)
        out += b"070701" + b"".join(b"%08X" % field for field in fields) + name
        out += bytes(-len(out) % 4) + entry.data
        out += bytes(-len(out) % 4)
    return bytes(out)


def _applets(busybox: Path) -> list[str]:
    listed = subprocess.run([str(busybox), "--list"], capture_output=True, text=True, check=True, timeout=10)
    return sorted(name for name in listed.stdout.split() if name not in ("busybox", "bash"))
