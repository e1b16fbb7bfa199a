"""Kernel modules: which files a guest needs, and in which order they are loaded."""

import gzip
import lzma
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from novaflow.models import Value

WANTED: Final = ("virtio_pci", "virtio_blk", "virtio_net", "isofs", "button", "evdev")
_SUFFIXES: Final = (".ko", ".ko.gz", ".ko.xz", ".ko.zst")


class MissingModule(Exception):
    """The kernel has this neither as a module nor built in."""


class Module(Value, frozen=True, kw_only=True):
    """An uncompressed module."""

    name: str
    data: bytes


def load_order(directory: Path, wanted: Iterable[str] = WANTED) -> list[Module]:
    """The wanted modules and all that they depend on, dependencies first; those built into the kernel are left out.

    `directory` is lib/modules/<release>. Raises MissingModule, OSError.
    """
    files = _index(directory)
    built_in = _built_in(directory)
    order: dict[str, Module] = {}
    for name in wanted:
        if name not in files and name not in built_in:
            raise MissingModule(f"the kernel of {directory} has no module {name}")
        _add(name, files, order)
    return list(order.values())


def dependencies(module: bytes) -> list[str]:
    """What the module's .modinfo section says in `depends=`."""
    found = re.search(rb"\0depends=([^\0]*)\0", module)
    return [_plain(name) for name in found.group(1).decode().split(",") if name] if found else []


def _add(name: str, files: Mapping[str, Path], order: dict[str, Module]) -> None:
    if name in order or name not in files:
        return
    data = _read(files[name])
    for dependency in dependencies(data):
        _add(dependency, files, order)
    order[name] = Module(name=name, data=data)


def _index(directory: Path) -> dict[str, Path]:
    found = {}
    for path in sorted(directory.rglob("*.ko*")):
        if path.name.endswith(_SUFFIXES):
            found[_plain(path.name.partition(".ko")[0])] = path
    return found


def _built_in(directory: Path) -> set[str]:
    listing = directory / "modules.builtin"
    if not listing.exists():
        return set()
    return {_plain(Path(line).name.partition(".ko")[0]) for line in listing.read_text().split()}


def _plain(name: str) -> str:
    return name.replace("-", "_")


def _read(path: Path) -> bytes:
    if path.suffix == ".zst":
        unpacked = subprocess.run(["zstd", "-dcq", str(path)], capture_output=True, check=True, timeout=30)
        return unpacked.stdout
    data = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(data)
    return gzip.decompress(data) if path.suffix == ".gz" else data
