"""VMDK, the format that is a text naming files: only the two single-file kinds are let through.

QEMU opens whatever files a descriptor names, as extents or as a parent, so a descriptor is read line by line and any line that
is not understood refuses the image (CVE-2022-47951, CVE-2024-32498). Offsets follow VMware's "Virtual Disk Format 5.0" and qemu/block/vmdk.c.
"""

import re
import struct
from typing import Final, NamedTuple

from novaflow.images.inspect_regions import Found, Parser, Region, Tail

_HEADER: Final = struct.Struct("<4sIIQQQQIQQ")
_DESCRIPTOR_OFFSET: Final = 512  # where QEMU looks
_DESCRIPTOR_MAX: Final = (1 << 20) - 1  # what QEMU reads
_AT_END: Final = 0xFFFFFFFFFFFFFFFF
_FOOTER_LENGTH: Final = 1536  # marker, footer, end of stream
_PROBE: Final = 64
_CREATE_TYPE: Final = re.compile(rb'createtype\s*=\s*"?([^"\n]{0,64})', re.IGNORECASE)
_VERSION_LINE: Final = re.compile(rb"\A(?:\s*#[^\n]*\n|\s*\n)*\s*version\s*=", re.IGNORECASE)
_FIELD: Final = re.compile(r"[^\s=]+\s*=")
_EXTENT: Final = re.compile(r'(?:rw|rdonly|noaccess) \d+ sparse "[^"/\\]+"')
_ALLOWED: Final = ("monolithicsparse", "streamoptimized")


class _Sparse(NamedTuple):
    """The "hosted sparse extent" header; offsets and sizes in sectors."""

    magic: bytes
    version: int
    flags: int
    capacity: int
    grain: int
    descriptor_at: int
    descriptor_size: int
    entries: int
    redundant_at: int
    directory_at: int


def vmdk() -> Parser:
    """A sparse extent with its descriptor inside, or the bare text descriptor (never safe)."""
    head = yield Region(0, _PROBE)
    if head.startswith(b"COWD"):
        return _refused("unsupported VMDK subformat")
    if not head.startswith(b"KDMV"):
        return (yield from _text(head))
    if len(head) < _HEADER.size:
        return _refused("the VMDK header is cut short")
    header = _Sparse(*_HEADER.unpack_from(head))
    fault = _header_fault(header)
    if fault:
        return _refused(fault)
    length = min(header.descriptor_size * 512, _DESCRIPTOR_MAX)
    descriptor = yield Region(_DESCRIPTOR_OFFSET, length)
    fault = descriptor_fault(descriptor.partition(b"\x00")[0])
    if not fault and header.directory_at == _AT_END:
        fault = _footer_fault(header, (yield Tail(_FOOTER_LENGTH)))
    return _refused(fault) if fault else Found(format="vmdk", virtual_size=header.capacity * 512)


def _text(head: bytes) -> Parser:
    """Text is a VMDK if this reader or QEMU's probe (comments, then `version=`) would take it for one."""
    if b"\x00" in head:
        return None
    text = head + (yield Region(len(head), _DESCRIPTOR_MAX - len(head)))
    text = text.partition(b"\x00")[0]
    is_plain = all(byte >= 32 or byte in b"\t\r\n\f\v" for byte in head)
    if _VERSION_LINE.match(text) or (is_plain and _CREATE_TYPE.search(text)):
        return _refused("a VMDK descriptor that names other files")
    return None


def _refused(reason: str) -> Found:
    return Found(format="vmdk", unsafe=reason)


def _header_fault(header: _Sparse) -> str:
    if header.version not in (1, 2, 3):
        return f"unsupported VMDK version {header.version}"
    if header.descriptor_at * 512 != _DESCRIPTOR_OFFSET or not header.descriptor_size:
        return "the VMDK descriptor is not where it must be"
    if not header.capacity:  # QEMU would then believe the descriptor's file names
        return "the VMDK holds no data itself"
    return ""


def descriptor_fault(descriptor: bytes) -> str:
    """Why an embedded descriptor is refused; empty when it names nothing but its own extent."""
    try:
        text = descriptor.decode("ascii").lower()
    except UnicodeDecodeError:
        return "the VMDK descriptor is not ASCII"
    lines = [line for line in map(str.strip, text.split("\n")) if line and not line.startswith("#")]
    kind = _CREATE_TYPE.search(descriptor)
    if kind is None or kind[1].decode("ascii").lower() not in _ALLOWED:
        return "unsupported VMDK subformat"
    if any(line.startswith("parentfilenamehint") for line in lines):
        return "it names a parent disk"
    extents = [line for line in lines if not line.startswith("ddb") and not _FIELD.match(line)]
    if len(extents) != 1 or not _EXTENT.fullmatch(extents[0]):
        return "the VMDK descriptor names other files"
    return ""


def _footer_fault(header: _Sparse, end: bytes) -> str:
    """A stream-optimized image ends with a copy of its header that wins over the first: the two must agree."""
    if len(end) < _FOOTER_LENGTH:
        return "the VMDK footer is missing"
    footer = _Sparse(*_HEADER.unpack_from(end, 512))
    if footer._replace(directory_at=0) != header._replace(directory_at=0) or footer.directory_at == _AT_END:
        return "the VMDK footer does not agree with the header"
    _, marker_size, marker = struct.unpack_from("<QII", end)
    if (marker_size, marker) != (0, 3) or any(end[16:512]) or any(end[1024:]):
        return "the VMDK footer is not framed as it must be"
    return ""
