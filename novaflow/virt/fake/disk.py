"""The disks of fake guests as files: real qcow2 images, empty but for a note that says what would be on them.

The note is a header extension of a kind of its own, which every reader of qcow2 skips, so that a guest that is
spawned from a snapshot can tell whose disk it has. Format: https://gitlab.com/qemu-project/qemu/-/blob/master/docs/interop/qcow2.rst
"""

import struct
from pathlib import Path
from typing import Final

CLUSTER_BITS: Final = 16
_CLUSTER: Final = 1 << CLUSTER_BITS
_REFCOUNTS_AT, _REFCOUNT_BLOCK_AT, _L1_AT = _CLUSTER, 2 * _CLUSTER, 3 * _CLUSTER
_L1_ENTRY_COVERS: Final = _CLUSTER * (_CLUSTER // 8)  # bytes of the disk
_HEADER: Final = struct.Struct(">4sIQIIQIIQQIIQQQQII")
_EXTENSION: Final = struct.Struct(">II")
_NOTE: Final = 0x6E6F7661  # "nova": no type that QEMU knows
_SMALLEST: Final = 2**20
_SECTOR: Final = 512


def write_disk(path: Path, virtual_bytes: int, content: str) -> None:
    """An image of at least 1 MiB that stands alone, with `content` noted in it. Raises OSError, leaving nothing at `path`."""
    size = max(_SMALLEST, -(-virtual_bytes // _SECTOR) * _SECTOR)
    l1_entries = -(-size // _L1_ENTRY_COVERS)
    l1_clusters = -(-l1_entries * 8 // _CLUSTER)
    clusters = 3 + l1_clusters
    header = _HEADER.pack(
        *(b"QFI\xfb", 3, 0, 0, CLUSTER_BITS, size, 0, l1_entries, _L1_AT, _REFCOUNTS_AT, 1, 0, 0),
        *(0, 0, 0, 4, _HEADER.size),
    )
    note = content.encode()
    extension = _EXTENSION.pack(_NOTE, len(note)) + note.ljust(-(-len(note) // 8) * 8, b"\0") + _EXTENSION.pack(0, 0)
    fresh = path.with_name(f"{path.name}.new")
    try:
        with fresh.open("wb") as stream:
            stream.write(header + extension)
            stream.seek(_REFCOUNTS_AT)
            stream.write(_REFCOUNT_BLOCK_AT.to_bytes(8, "big"))
            stream.seek(_REFCOUNT_BLOCK_AT)
            stream.write((1).to_bytes(2, "big") * clusters)
            stream.truncate(clusters * _CLUSTER)
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def read_note(path: Path) -> str:
    """What is noted in an image; empty for one that no fake guest left. Raises OSError."""
    with path.open("rb") as stream:
        start = stream.read(_HEADER.size + _EXTENSION.size)
        if len(start) < _HEADER.size + _EXTENSION.size or not start.startswith(b"QFI\xfb"):
            return ""
        kind, length = _EXTENSION.unpack_from(start, _HEADER.size)
        return stream.read(min(length, _SECTOR)).decode(errors="replace") if kind == _NOTE else ""
