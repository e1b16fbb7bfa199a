"""Pictures of screens: older hypervisors give PPM, everybody wants PNG."""

import re
import struct
import zlib
from typing import Final

from novaflow.virt.image_facts import Refused

PNG_MAGIC: Final = b"\x89PNG\r\n\x1a\n"
_PPM_HEAD: Final = re.compile(rb"P6\s+(?:#[^\n]*\n\s*)*(\d+)\s+(\d+)\s+255\s")
_RGB_OF_8_BITS: Final = (8, 2, 0, 0, 0)  # depth, colour type, compression, filter, interlace
_UNFILTERED: Final = b"\0"  # begins every row


def to_png(picture: bytes) -> bytes:
    """A PNG as it is, a binary PPM of 8 bits converted (netpbm's ppm(5), the PNG specification); raises Refused for anything else."""
    if picture.startswith(PNG_MAGIC):
        return picture
    head = _PPM_HEAD.match(picture)
    if not head:
        raise Refused("the hypervisor gives a picture of the screen that is neither PNG nor PPM")
    width, height = int(head[1]), int(head[2])
    row = 3 * width
    if len(picture) < head.end() + row * height:
        raise Refused("the hypervisor gives half a picture of the screen")
    starts = range(head.end(), head.end() + row * height, row)
    rows = b"".join(_UNFILTERED + picture[start : start + row] for start in starts)
    header = struct.pack(">II5B", width, height, *_RGB_OF_8_BITS)
    return PNG_MAGIC + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
