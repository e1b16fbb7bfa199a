import asyncio
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest

from novaflow.virt.driver import DiskImage
from novaflow.virt.image_facts import Format, Refused, inspect, judge_info, qcow2_virtual_bytes, read_header
from tests.support.libvirt import need_libvirt

SIZE = 5 * 2**30


def qcow2(*, version: int = 3, backing_at: int = 0, features: int = 0) -> bytes:
    """The first bytes of a qcow2 image."""
    head = b"QFI\xfb" + struct.pack(">IQI", version, backing_at, 0) + struct.pack(">IQ", 16, SIZE)
    return head.ljust(72, b"\0") + struct.pack(">Q", features)


def image(path: Path, format_: str, content: bytes) -> DiskImage:
    path.write_bytes(content)
    return DiskImage(path=str(path), format=format_, size_bytes=len(content))


@pytest.mark.parametrize("version", [2, 3])
def test_a_qcow2_header_tells_the_size_inside(version: int) -> None:
    assert qcow2_virtual_bytes(qcow2(version=version)) == SIZE


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (qcow2(backing_at=4096), "backing file"),
        (qcow2(features=1 << 2), "external data file"),
        (b"QFI\xfb", "is not"),
        (b"KDMV".ljust(512, b"\0"), "is not"),
    ],
)
def test_a_qcow2_that_names_other_files_or_is_none_is_refused(header: bytes, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        qcow2_virtual_bytes(header)


def test_the_features_field_means_nothing_in_version_2() -> None:
    assert qcow2_virtual_bytes(qcow2(version=2, features=1 << 2)) == SIZE


def test_a_raw_image_is_as_large_as_its_file(tmp_path: Path) -> None:
    for name in ("raw", "ami"):
        assert read_header(image(tmp_path / name, name, bytes(1000))) == Format(qemu="raw", virtual_bytes=1000)


def test_formats_whose_header_is_not_enough_are_left_to_qemu_img(tmp_path: Path) -> None:
    assert read_header(image(tmp_path / "disk", "vmdk", b"KDMV")) is None


def info(**facts: Any) -> bytes:
    return msgspec.json.encode({"virtual-size": SIZE, "format": "vmdk"} | facts)


def test_qemu_imgs_word_is_taken_for_a_self_contained_image() -> None:
    details = {"type": "vmdk", "data": {"create-type": "streamOptimized"}}

    assert judge_info("vmdk", info(**{"format-specific": details})) == Format(qemu="vmdk", virtual_bytes=SIZE)
    assert judge_info("vdi", info()) == Format(qemu="vdi", virtual_bytes=SIZE)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"format-specific": {"type": "vmdk", "data": {"create-type": "monolithicFlat"}}}, "monolithicFlat"),
        ({}, "of type None"),
        ({"backing-filename": "/etc/passwd"}, "backing file"),
        ({"full-backing-filename": "/etc/passwd"}, "backing file"),
    ],
)
def test_an_image_that_reaches_for_other_files_is_refused(facts: dict[str, Any], reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        judge_info("vmdk", info(**facts))


async def test_a_real_vdi_is_inspected_and_a_false_one_refused(tmp_path: Path) -> None:
    need_libvirt()
    made = await asyncio.create_subprocess_exec("qemu-img", "create", "-q", "-f", "vdi", str(tmp_path / "disk"), "3M")
    assert await made.wait() == 0
    disk = DiskImage(path=str(tmp_path / "disk"), format="vdi", size_bytes=1)

    assert await inspect(disk) == Format(qemu="vdi", virtual_bytes=3 * 2**20)
    with pytest.raises(Refused, match="cannot read the vdi image"):
        await inspect(image(tmp_path / "other", "vdi", bytes(4096)))
