"""The formats that say everything in one header: qcow2, QED, VHD, VDI, ISO 9660, LUKS and partition tables.

Field offsets and what is unsafe follow oslo.utils (imageutils/format_inspector.py) and QEMU's block drivers. An image is unsafe when
QEMU would open another file on its word, or when this code cannot tell.
"""

import struct
from typing import Final

from novaflow.images.inspect_regions import Found, Parser, Region

_SECTOR: Final = 512
_QCOW2_HEADER: Final = 104
_QCOW2_DATA_FILE: Final = 1 << 2
_QCOW2_KNOWN: Final = 0b1111  # dirty, corrupt, data file, compression type
_VHD_DIFFERENCING: Final = 4
_VDI_SELF_CONTAINED: Final = (1, 2)  # dynamic, fixed
_ISO_SIGNATURES: Final = (b"CD001", b"NSR02", b"NSR03")


def qcow2() -> Parser:
    """QEMU copy-on-write (https://gitlab.com/qemu-project/qemu/-/blob/master/docs/interop/qcow2.rst)."""
    header = yield Region(0, _QCOW2_HEADER)
    if not header.startswith(b"QFI\xfb"):
        return None
    if len(header) < _QCOW2_HEADER:
        return Found(format="qcow2", unsafe="the qcow2 header is cut short")
    version, backing_offset, size, features = struct.unpack_from(">4xIQ8xQ40xQ", header)
    return Found(format="qcow2", virtual_size=size, unsafe=_qcow2_fault(version, backing_offset, features))


def _qcow2_fault(version: int, backing_offset: int, features: int) -> str:
    if version not in (2, 3):
        return f"unsupported qcow2 version {version}"
    if backing_offset:
        return "it has a backing file"
    if version == 2:  # no feature bits yet
        return ""
    if features & _QCOW2_DATA_FILE:
        return "it keeps its data in an external data file"
    return "it uses unknown qcow2 features" if features & ~_QCOW2_KNOWN else ""


def qed() -> Parser:
    """QEMU enhanced disk: known only to be refused."""
    header = yield Region(0, 4)
    return Found(format="qed", unsafe="the format qed is not allowed") if header == b"QED\x00" else None


def vhd() -> Parser:
    """Microsoft VHD with its header copy in front; a differencing disk would read its parent."""
    header = yield Region(0, _SECTOR)
    if not header.startswith(b"conectix"):
        return None
    if len(header) < _SECTOR:
        return Found(format="vhd", unsafe="the VHD header is cut short")
    size, kind = struct.unpack_from(">48xQ4xI", header)
    return Found(format="vhd", virtual_size=size, unsafe="it needs a parent disk" if kind == _VHD_DIFFERENCING else "")


def vdi() -> Parser:
    """VirtualBox; a differencing or undo image would read its parent."""
    header = yield Region(0, _SECTOR)
    if len(header) < _SECTOR or struct.unpack_from("<64xI", header)[0] != 0xBEDA107F:
        return None
    (kind,) = struct.unpack_from("<76xI", header)
    (size,) = struct.unpack_from("<368xQ", header)
    unsafe = "" if kind in _VDI_SELF_CONTAINED else "it needs a parent disk"
    return Found(format="vdi", virtual_size=size, unsafe=unsafe)


def iso() -> Parser:
    """ISO 9660 and UDF: the signature is behind the 32 KiB left to boot code."""
    descriptor = yield Region(32768, 2048)
    if len(descriptor) < 2048 or descriptor[1:6] not in _ISO_SIGNATURES:
        return None
    if descriptor[0] != 1:  # not a primary volume descriptor: the size is not here
        return Found(format="iso")
    blocks, block_size = struct.unpack_from("<80xI44xH", descriptor)
    return Found(format="iso", virtual_size=blocks * block_size)


def luks() -> Parser:
    """An encrypted volume."""
    header = yield Region(0, 6)
    return Found(format="luks") if header == b"LUKS\xba\xbe" else None


def partition_table() -> Parser:
    """A whole disk with an MBR or GPT, which is what most raw images are; a FAT boot sector looks alike and is none."""
    sector = yield Region(0, _SECTOR)
    if len(sector) < _SECTOR or sector[510:] != b"\x55\xaa":
        return None
    is_fat = sector[0x10] == 2 and sector[0x15] == 0xF8
    return None if is_fat else Found(format="gpt")
