"""What a driver must know of a disk image before it lets QEMU open it: how big it is inside, and that it stands alone.

A qcow2 header can name any file of the host as its backing or data file, a VMDK descriptor as an extent; QEMU would open it
and show it to the guest. The image service refuses such images, and a driver looks again at the bytes it is about to use.
"""

import asyncio
import struct
from pathlib import Path
from typing import Final

import msgspec

from novaflow.models import Value
from novaflow.virt.driver import DiskImage

QEMU_NAMES: Final = {
    "raw": "raw",
    "ami": "raw",
    "qcow2": "qcow2",
    "vmdk": "vmdk",
    "vdi": "vdi",
    "vhd": "vpc",
    "vpc": "vpc",
    "vhdx": "vhdx",
}
"""The formats a guest's disk may have, and QEMU's names for them."""

VMDK_TYPES: Final = ("streamOptimized", "monolithicSparse")  # the self-contained ones; Nova's vmdk_allowed_types
QCOW2_MAGIC: Final = b"QFI\xfb"
QCOW2_HEADER_BYTES: Final = 80
_EXTERNAL_DATA_FILE: Final = 1 << 2  # of qcow2's incompatible features
_INFO_SECONDS: Final = 30.0


class Refused(Exception):
    """This image must not or cannot be used; the text says why."""


class Format(Value, frozen=True, kw_only=True):
    """`qemu` is the name for -F; `virtual_bytes` is the size that the guest would see."""

    qemu: str
    virtual_bytes: int


def known_format(image: DiskImage) -> str:
    """QEMU's name for the image's format; raises Refused for one that no guest can boot from."""
    try:
        return QEMU_NAMES[image.format]
    except KeyError:
        raise Refused(f"disk format {image.format!r} is not one of {', '.join(sorted(QEMU_NAMES))}") from None


def read_header(image: DiskImage) -> Format | None:
    """The facts that the first bytes tell; None where only qemu-img knows. Raises Refused."""
    name = known_format(image)
    try:
        with Path(image.path).open("rb") as stream:
            header = stream.read(QCOW2_HEADER_BYTES)
            size = stream.seek(0, 2)
    except OSError as error:
        raise Refused(f"disk image {image.path}: {error.strerror}") from None
    if size == 0:
        raise Refused(f"disk image {image.path} is empty")
    if name == "raw":
        return Format(qemu=name, virtual_bytes=size)
    if name == "qcow2":
        return Format(qemu=name, virtual_bytes=qcow2_virtual_bytes(header))
    return None


def qcow2_virtual_bytes(header: bytes) -> int:
    """The size in a qcow2 header (docs/interop/qcow2.txt); raises Refused for one that is none or names another file."""
    if len(header) < QCOW2_HEADER_BYTES - 8 or not header.startswith(QCOW2_MAGIC):
        raise Refused("the disk image claims to be qcow2 and is not")
    version, backing_offset = struct.unpack_from(">IQ", header, 4)
    (size,) = struct.unpack_from(">Q", header, 24)
    features = struct.unpack_from(">Q", header, 72)[0] if version >= 3 and len(header) >= QCOW2_HEADER_BYTES else 0
    if backing_offset:
        raise Refused("the qcow2 image has a backing file")
    if features & _EXTERNAL_DATA_FILE:
        raise Refused("the qcow2 image has an external data file")
    return int(size)


async def inspect(image: DiskImage) -> Format:
    """The facts of any known image, by `qemu-img info` with the format named where the header is not enough."""
    found = read_header(image)
    if found:
        return found
    name = known_format(image)
    process = await asyncio.create_subprocess_exec(
        "qemu-img", "info", "-f", name, "--output=json", image.path,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(_INFO_SECONDS):
            out, err = await process.communicate()
    except BaseException:
        if process.returncode is None:
            process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        raise Refused(f"qemu-img cannot read the {image.format} image: {err.decode(errors='replace').strip()}")
    return judge_info(name, out)


def judge_info(name: str, info: bytes) -> Format:
    """What `qemu-img info --output=json` says, as facts; raises Refused where the image reaches for other files."""
    facts = msgspec.json.decode(info, type=dict[str, object])
    if facts.get("backing-filename") or facts.get("full-backing-filename"):
        raise Refused(f"the {name} image has a backing file")
    details = facts.get("format-specific")
    data = details.get("data", {}) if isinstance(details, dict) else {}
    if name == "vmdk" and data.get("create-type") not in VMDK_TYPES:
        raise Refused(f"the vmdk image is of type {data.get('create-type')}, not {' or '.join(VMDK_TYPES)}")
    size = facts.get("virtual-size")
    if not isinstance(size, int):
        raise Refused(f"qemu-img tells no size of the {name} image")
    return Format(qemu=name, virtual_bytes=size)
