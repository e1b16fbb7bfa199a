"""VMDKs: single-file ones pass, whatever names another file does not."""

import pytest

from novaflow.images.inspect import DiskImage, Inspector
from novaflow.images.inspect_vmdk import descriptor_fault
from tests.support import disks
from tests.support.disks import DESCRIPTOR, MIB

SPARSE = DESCRIPTOR.format(kind="monolithicSparse")


def seen(data: bytes) -> DiskImage:
    inspector = Inspector()
    inspector.feed(data)
    return inspector.finish()


def test_a_stream_optimized_image_passes_by_header_descriptor_and_footer() -> None:
    image = seen(disks.stream_vmdk())

    assert (image.format, image.virtual_size, image.unsafe) == ("vmdk", 10 * MIB, "")


@pytest.mark.parametrize(
    "descriptor",
    [
        SPARSE.replace('"disk.vmdk"', '"/etc/passwd"'),
        SPARSE.replace('"disk.vmdk"', '"..\\\\disk.vmdk"'),
        SPARSE.replace("SPARSE", "FLAT"),
        SPARSE.replace("SPARSE", "VMFS"),
        SPARSE + 'RW 20480 SPARSE "other.vmdk"\n',
        SPARSE + 'parentFileNameHint="/etc/passwd"\n',
        SPARSE.replace("RW 20480", "something else"),
        DESCRIPTOR.format(kind="monolithicFlat"),
        DESCRIPTOR.format(kind="vmfsSparse"),
        DESCRIPTOR.format(kind="twoGbMaxExtentSparse"),
        DESCRIPTOR.format(kind="x" * 100),
        "",
        "version=1\n",
        SPARSE.replace('RW 20480 SPARSE "disk.vmdk"\n', ""),
        SPARSE + "\xe9\n",
    ],
)
def test_a_descriptor_that_says_anything_else_than_one_sparse_extent_of_its_own_is_refused(descriptor: str) -> None:
    assert seen(disks.vmdk(descriptor)).unsafe


def test_letter_case_and_comments_do_not_matter() -> None:
    assert not descriptor_fault(SPARSE.upper().encode())
    assert not descriptor_fault(b"# RW 1 FLAT /etc/passwd\n" + SPARSE.encode())


@pytest.mark.parametrize(
    "image",
    [
        disks.vmdk(version=4),
        disks.vmdk(descriptor_at=0),
        disks.vmdk(descriptor_at=3),
        disks.vmdk(sectors=0),
        disks.vmdk()[:60],
        b"COWD".ljust(4096, b"\0"),
    ],
)
def test_a_header_that_sends_the_reader_elsewhere_is_refused(image: bytes) -> None:
    assert seen(image).format == "vmdk"
    assert seen(image).unsafe


@pytest.mark.parametrize(
    "image",
    [
        disks.stream_vmdk()[:-1536],
        disks.stream_vmdk(marker=1),
        disks.stream_vmdk(footer=disks.sparse_header(20480, descriptor_at=9, directory_at=500)),
        disks.stream_vmdk(footer=disks.sparse_header(999, directory_at=500)),
        disks.stream_vmdk(footer=disks.sparse_header(20480, directory_at=disks.AT_END)),
    ],
)
def test_a_footer_that_contradicts_the_header_is_refused(image: bytes) -> None:
    assert "footer" in seen(image).unsafe


@pytest.mark.parametrize(
    "text",
    [
        disks.TEXT_VMDK.encode(),
        b"\n\n" + disks.TEXT_VMDK.encode(),
        "# caf\u00e9\nversion=1\n".encode() + disks.TEXT_VMDK.encode(),
        b"  # long\n" * 2000 + disks.TEXT_VMDK.encode(),
        disks.TEXT_VMDK.encode().replace(b"version=1\n", b"encoding=x\n"),
        disks.TEXT_VMDK.encode().ljust(MIB, b"\0"),
        b"version = 3\n",
    ],
)
def test_a_text_that_a_reader_takes_for_a_descriptor_is_refused(text: bytes) -> None:
    assert seen(text) == DiskImage(
        format="vmdk", virtual_size=None, size=len(text), unsafe="a VMDK descriptor that names other files"
    )


def test_other_text_is_raw() -> None:
    assert seen(b"#!/bin/sh\necho version=1\n" * 100).format == "raw"
