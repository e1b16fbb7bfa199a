"""Disk images made by hand: the smallest bytes that each format's readers take for one, and the ways to make them unsafe."""

import struct
import uuid

SECTOR = 512
MIB = 2**20


def qcow2(
    size: int = 10 * MIB, *, version: int = 3, backing_offset: int = 0, features: int = 0, length: int = 65536
) -> bytes:
    """A qcow2 header, padded."""
    header = struct.pack(
        ">4sIQIIQIIQQIIQQQQII",
        *(b"QFI\xfb", version, backing_offset, 0, 16, size, 0, 1, 0x30000, 0x10000, 1, 0, 0),
        *(features, 0, 0, 4, 104),
    )
    return header.ljust(length, b"\0")


def vhd(size: int = 10 * MIB, kind: int = 3) -> bytes:
    """A VHD header copy: kind 2 is fixed, 3 dynamic, 4 differencing."""
    return struct.pack(">8s32xQQ4xI", b"conectix", size, size, kind).ljust(2048, b"\0")


def vdi(size: int = 10 * MIB, kind: int = 1) -> bytes:
    """A VDI header: kind 1 is dynamic, 2 fixed, 4 differencing."""
    header = bytearray(1024)
    struct.pack_into("<I", header, 0x40, 0xBEDA107F)
    struct.pack_into("<I", header, 0x4C, kind)
    struct.pack_into("<Q", header, 0x170, size)
    return bytes(header)


def iso(blocks: int = 100, *, bootable: bool = False) -> bytes:
    """An ISO 9660 image of 2048-byte blocks; a bootable one has a partition table in front."""
    image = bytearray(blocks * 2048)
    struct.pack_into("<B5sB", image, 32768, 1, b"CD001", 1)
    struct.pack_into("<I", image, 32768 + 80, blocks)
    struct.pack_into("<H", image, 32768 + 128, 2048)
    if bootable:
        image[510:512] = b"\x55\xaa"
    return bytes(image)


def partitioned(length: int = MIB) -> bytes:
    """A disk with an MBR."""
    return b"\0" * 510 + b"\x55\xaa" + b"\0" * (length - SECTOR)


DESCRIPTOR = """# Disk DescriptorFile
version=1
CID=7f4be6ab
parentCID=ffffffff
createType="{kind}"

# Extent description
RW 20480 SPARSE "disk.vmdk"

ddb.virtualHWVersion = "4"
"""


def vmdk(
    descriptor: str = DESCRIPTOR.format(kind="monolithicSparse"),
    *,
    sectors: int = 20480,
    version: int = 1,
    descriptor_at: int = 1,
    directory_at: int = 26,
) -> bytes:
    """A sparse VMDK with an embedded descriptor of 20 sectors."""
    return sparse_header(sectors, version, descriptor_at, directory_at).ljust(SECTOR, b"\0") + descriptor.encode(
        "latin-1"
    ).ljust(20 * SECTOR, b"\0").ljust(MIB, b"\0")


def sparse_header(sectors: int, version: int = 1, descriptor_at: int = 1, directory_at: int = 26) -> bytes:
    """The header of a sparse extent."""
    return struct.pack("<4sIIQQQQIQQ", b"KDMV", version, 3, sectors, 128, descriptor_at, 20, 512, 21, directory_at)


AT_END = 2**64 - 1


def stream_vmdk(*, footer: bytes | None = None, marker: int = 3) -> bytes:
    """A stream-optimized VMDK: its footer repeats the header."""
    body = vmdk(DESCRIPTOR.format(kind="streamOptimized"), directory_at=AT_END)
    copy = footer if footer is not None else sparse_header(20480, directory_at=500)
    return body + struct.pack("<QII", 1, 0, marker).ljust(SECTOR, b"\0") + copy.ljust(SECTOR, b"\0") + bytes(SECTOR)


def vhdx(size: int = 10 * MIB, *, has_parent: bool = False, entries: int = 2, metadata: bytes = b"metadata") -> bytes:
    """A VHDX with its region table, metadata table and the two values that are read."""
    image = bytearray(2 * MIB)
    image[:8] = b"vhdxfile"
    struct.pack_into("<4sIII", image, 192 * 1024, b"regi", 0, 1, 0)
    region = uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e").bytes_le
    struct.pack_into("<16sQII", image, 192 * 1024 + 16, region, MIB, MIB, 1)
    struct.pack_into("<8sHH", image, MIB, metadata, 0, entries)
    parameters = uuid.UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b").bytes_le
    struct.pack_into("<16sIII", image, MIB + 32, parameters, 65536, 8, 0)
    disk_size = uuid.UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8").bytes_le
    struct.pack_into("<16sIII", image, MIB + 64, disk_size, 65544, 8, 0)
    struct.pack_into("<II", image, MIB + 65536, 32 * MIB, 2 if has_parent else 0)
    struct.pack_into("<Q", image, MIB + 65544, size)
    return bytes(image)


TEXT_VMDK = """# Disk DescriptorFile
version=1
CID=00000000
parentCID=ffffffff
createType="monolithicFlat"
RW 20480 FLAT "/etc/passwd" 0
"""
