"""Disks made, copied and grown by qemu-img. Formats are always said: QEMU must never guess that of bytes which a user gave."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from novaflow.virt.driver import DiskImage
from novaflow.virt.image_facts import QCOW2_HEADER_BYTES, Format, qcow2_virtual_bytes

T = TypeVar("T")

STALL_SECONDS: Final = 300.0  # a copy that gets no further for so long is given up
_SECONDS: Final = 60.0
_STREAM_BYTES: Final = 4096


class ImageFailed(Exception):
    """qemu-img could not do it; the text is what it said."""


async def create_overlay(path: Path, image: DiskImage, found: Format, size_bytes: int) -> None:
    """A qcow2 disk of `size_bytes` (0: of the image's own size) that reads what it has not written from `image`."""
    size = str(size_bytes or found.virtual_bytes)
    await _run("create", "-q", "-f", "qcow2", "-F", found.qemu, "-b", image.path, str(path), size)


async def create_blank(path: Path, size_bytes: int) -> None:
    """An empty qcow2 disk."""
    await _run("create", "-q", "-f", "qcow2", str(path), str(size_bytes))


async def grow(path: Path, size_bytes: int) -> None:
    """Make a qcow2 disk that stands alone and that nobody uses `size_bytes` large; fine when it is larger. Raises Refused."""
    with path.open("rb") as stream:
        header = stream.read(QCOW2_HEADER_BYTES)
    if qcow2_virtual_bytes(header) < size_bytes:
        await _run("resize", "-q", "-f", "qcow2", str(path), str(size_bytes))


async def flatten(source: Path, target: Path) -> None:
    """Copy a qcow2 disk and all that it is an overlay of to `target`, a qcow2 that stands alone.

    `target` is there whole or not at all. Takes no lock (-U): whoever calls sees to it that nobody writes to `source`. As
    long as it gets further there is no deadline, for a disk may be of any size.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        await _run("convert", "-p", "-U", "-f", "qcow2", "-O", "qcow2", str(source), str(part), seconds=STALL_SECONDS)
        part.replace(target)  # at once, so that whoever is cancelled has no file
    finally:
        part.unlink(missing_ok=True)


async def _run(*arguments: str, seconds: float = _SECONDS) -> None:
    """Raises ImageFailed, also when nothing is heard of qemu-img for `seconds`; cancelled, it is killed before that is raised."""
    process = await asyncio.create_subprocess_exec(
        "qemu-img", *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout  # noqa: S101 - it is a pipe
    said = b""
    try:
        while heard := await _in_time(process.stdout.read(_STREAM_BYTES), seconds):
            said = (said + heard)[-_STREAM_BYTES:]
        await _in_time(process.wait(), seconds)
    except TimeoutError:
        raise ImageFailed(f"qemu-img {arguments[0]} got no further for {seconds:.0f} s") from None
    finally:  # it must not write into a directory that is being removed
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode != 0:
        text = said.decode(errors="replace").rpartition("\r")[2].strip()  # without the progress before it
        raise ImageFailed(text or f"qemu-img ended with {process.returncode}")


async def _in_time(work: Awaitable[T], seconds: float) -> T:
    """Not by asyncio.wait_for, which in Python 3.11 forgets a cancellation that comes in the moment when `work` is done."""
    async with asyncio.timeout(seconds):
        return await work
