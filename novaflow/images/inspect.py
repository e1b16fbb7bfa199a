"""What an image's bytes really are, whatever its metadata says, and whether that may be used.

Every known format looks at every image. An image is accepted when what was seen is what is claimed and opens no
other file; `raw` means that nothing was recognised, or a partition table, or a bootable ISO. The rule that a raw claim must not hide another
format is Nova's (CVE-2024-32498): a format that is guessed later, by anyone, must guess the same.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from novaflow.errors import ImageRefused
from novaflow.images import inspect_formats
from novaflow.images.inspect_regions import Found, Parser, Passing, parse_file
from novaflow.images.inspect_vhdx import vhdx
from novaflow.images.inspect_vmdk import vmdk

_PARSERS: Final[Sequence[Callable[[], Parser]]] = (
    inspect_formats.qcow2,
    inspect_formats.qed,
    inspect_formats.vhd,
    inspect_formats.vdi,
    inspect_formats.iso,
    inspect_formats.luks,
    inspect_formats.partition_table,
    vhdx,
    vmdk,
)
_INSPECTED: Final = frozenset({"raw", "qcow2", "vhd", "vhdx", "vmdk", "vdi", "iso"})
_CONTENT_OF_RAW: Final = frozenset({"raw", "gpt", "iso"})
_LARGEST: Final = 2**63 - 1  # bytes a file can have


@dataclass(frozen=True, kw_only=True)
class DiskImage:
    """What was seen: the format (`raw` when none was recognised), bytes of the disk and of the file, and why it is unsafe."""

    format: str
    virtual_size: int | None
    size: int
    unsafe: str = ""


class Inspector:
    """Watches an image stream by, in chunks of any size."""

    def __init__(self) -> None:
        self._watching = [Passing(parser()) for parser in _PARSERS]
        self._size = 0

    def feed(self, chunk: bytes) -> None:
        """Look at the next bytes."""
        self._size += len(chunk)
        for parser in self._watching:
            parser.feed(chunk)

    def finish(self) -> DiskImage:
        """What the whole image is."""
        return _sum_up((parser.finish() for parser in self._watching), self._size)


def inspect_file(path: Path) -> DiskImage:
    """What the file at `path` is; reads a few small regions of it. Raises OSError."""
    with path.open("rb") as file:
        found = [parse_file(parser(), file) for parser in _PARSERS]
    return _sum_up(found, path.stat().st_size)


def _sum_up(results: Iterable[Found | None], size: int) -> DiskImage:
    found = {result.format: result for result in results if result is not None}
    if found.keys() == {"iso", "gpt"}:  # a bootable ISO has a partition table in front
        del found["gpt"]
    if not found:
        return DiskImage(format="raw", virtual_size=size, size=size)
    if len(found) > 1:
        names = ", ".join(sorted(found))
        return DiskImage(format=names, virtual_size=None, size=size, unsafe=f"it is several formats at once: {names}")
    (only,) = found.values()
    virtual_size = size if only.format == "gpt" else only.virtual_size
    unsafe = only.unsafe or ("its virtual size is impossible" if (virtual_size or 0) > _LARGEST else "")
    return DiskImage(format=only.format, virtual_size=virtual_size, size=size, unsafe=unsafe)


def check(image_id: str, disk_format: str, seen: DiskImage) -> DiskImage:
    """Compare what an image claims with what was seen; gives what to use it as, or raises ImageRefused saying why not.

    A kernel, a ramdisk or a filesystem (aki, ari, ami) has no signature of its own: it is raw, and so must look raw.
    """
    if seen.unsafe:
        raise ImageRefused(image_id=image_id, reason=f"{seen.format}: {seen.unsafe}")
    if disk_format == seen.format:
        return seen
    claims_raw = disk_format == "raw" or disk_format not in _INSPECTED
    if claims_raw and seen.format in _CONTENT_OF_RAW:
        return DiskImage(format="raw", virtual_size=seen.size, size=seen.size)
    raise ImageRefused(
        image_id=image_id, reason=f"Image disk_format {disk_format} does not match stream data {seen.format}"
    )
