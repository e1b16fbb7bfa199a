"""VHDX: a table of regions, in it a table of metadata, in it the disk's size and whether it has a parent.

Structures are those of Microsoft's [MS-VHDX]; every count and offset is bounded before it is followed.
"""

import struct
import uuid
from typing import Final

from novaflow.images.inspect_regions import Found, Parser, Region

_KIB: Final = 1024
_REGION_TABLE: Final = Region(192 * _KIB, 64 * _KIB)
_METADATA_LENGTH: Final = 64 * _KIB
_ENTRIES_MAX: Final = 2047
_METADATA_REGION: Final = uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e").bytes_le
_DISK_SIZE: Final = uuid.UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8").bytes_le
_FILE_PARAMETERS: Final = uuid.UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b").bytes_le
_HAS_PARENT: Final = 2


def vhdx() -> Parser:
    """Microsoft VHDX; a differencing disk would read its parent."""
    ident = yield Region(0, 8)
    if ident != b"vhdxfile":
        return None
    start = _entries((yield _REGION_TABLE), b"regi", "<8xI", 16, "<16xQ").get(_METADATA_REGION)
    if start is None:
        return _broken()
    items = _entries((yield Region(start, _METADATA_LENGTH)), b"metadata", "<10xH", 32, "<16xI")
    if _DISK_SIZE not in items or _FILE_PARAMETERS not in items:
        return _broken()
    values = {}
    for name in sorted((_DISK_SIZE, _FILE_PARAMETERS), key=lambda item: items[item]):
        values[name] = yield Region(start + items[name], 8)
        if len(values[name]) < 8:
            return _broken()
    (size,) = struct.unpack("<Q", values[_DISK_SIZE])
    (flags,) = struct.unpack_from("<4xI", values[_FILE_PARAMETERS])
    return Found(format="vhdx", virtual_size=size, unsafe="it needs a parent disk" if flags & _HAS_PARENT else "")


def _broken() -> Found:
    return Found(format="vhdx", unsafe="the VHDX metadata cannot be read")


def _entries(table: bytes, magic: bytes, count_at: str, header: int, offset_at: str) -> dict[bytes, int]:
    """Where each GUID of a table points; nothing from a table that is not one."""
    if not table.startswith(magic) or len(table) < header:
        return {}
    (count,) = struct.unpack_from(count_at, table)
    if count > _ENTRIES_MAX or len(table) < header + 32 * count:
        return {}
    rows = (table[at : at + 32] for at in range(header, header + 32 * count, 32))
    return {row[:16]: struct.unpack_from(offset_at, row)[0] for row in rows}
