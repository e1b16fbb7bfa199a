"""The disks of fake guests are images that everybody takes for what they are, QEMU's own tool too."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from novaflow.images.inspect import check, inspect_file
from novaflow.virt.driver import DiskImage
from novaflow.virt.fake.disk import read_note, write_disk
from novaflow.virt.image_facts import read_header
from tests.support.disks import qcow2

MIB = 2**20
QEMU_IMG = shutil.which("qemu-img")
SIZES = {0: MIB, 1: MIB, MIB: MIB, MIB + 1: MIB + 512, 2**30: 2**30, 3 * 2**40: 3 * 2**40, 5 * 2**40: 5 * 2**40}


@pytest.mark.parametrize("asked", SIZES)
def test_a_disk_is_a_qcow2_image_that_stands_alone(tmp_path: Path, asked: int) -> None:
    path = tmp_path / "disk"

    write_disk(path, asked, "content")

    seen = check("image", "qcow2", inspect_file(path))
    found = read_header(DiskImage(path=str(path), format="qcow2", size_bytes=path.stat().st_size))
    assert (seen.format, seen.virtual_size) == ("qcow2", SIZES[asked])
    assert found
    assert found.virtual_bytes == SIZES[asked]
    assert path.stat().st_size < MIB
    assert [file.name for file in tmp_path.iterdir()] == ["disk"]


@pytest.mark.skipif(QEMU_IMG is None, reason="needs qemu-img")
@pytest.mark.parametrize("asked", SIZES)
def test_qemu_finds_nothing_wrong_with_it(tmp_path: Path, asked: int) -> None:
    path = tmp_path / "disk"
    write_disk(path, asked, "content")
    assert QEMU_IMG is not None

    checked = subprocess.run(
        [QEMU_IMG, "check", "--output=json", str(path)], check=True, capture_output=True, timeout=60
    )
    told = subprocess.run([QEMU_IMG, "info", "--output=json", str(path)], check=True, capture_output=True, timeout=60)

    assert not {"corruptions", "leaks"} & json.loads(checked.stdout).keys()
    assert json.loads(told.stdout)["virtual-size"] == SIZES[asked]


@pytest.mark.parametrize("content", ["", "c", "0123456789abcdef", "as long as it likes " * 20])
def test_what_is_noted_is_read_again(tmp_path: Path, content: str) -> None:
    write_disk(tmp_path / "disk", MIB, content)

    assert read_note(tmp_path / "disk") == content


@pytest.mark.parametrize(
    "image", [b"", b"QFI\xfb", bytes(MIB), qcow2()], ids=["empty", "cut short", "raw", "somebody else's"]
)
def test_nothing_is_noted_in_the_images_of_others(tmp_path: Path, image: bytes) -> None:
    (tmp_path / "disk").write_bytes(image)

    assert read_note(tmp_path / "disk") == ""


def test_a_disk_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "file").touch()

    with pytest.raises(OSError, match="disk"):
        write_disk(tmp_path / "disk", MIB, "content")

    assert [file.name for file in tmp_path.iterdir()] == ["disk"]
