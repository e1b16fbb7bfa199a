"""The inspector against images that QEMU's own tool makes, and against what that tool says of them."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from novaflow.errors import ImageRefused
from novaflow.images.inspect import check, inspect_file
from tests.support import disks

MIB = 2**20
QEMU_IMG = shutil.which("qemu-img")
pytestmark = pytest.mark.skipif(QEMU_IMG is None, reason="needs qemu-img")


def qemu_img(*words: str | Path) -> str:
    assert QEMU_IMG is not None
    run = subprocess.run([QEMU_IMG, *map(str, words)], check=True, capture_output=True, text=True, timeout=60)
    return run.stdout


def info(path: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(qemu_img("info", "--output=json", path))
    return facts


@pytest.mark.parametrize(
    ("claim", "name", "options"),
    [
        ("qcow2", "qcow2", ""),
        ("qcow2", "qcow2", "compat=0.10"),
        ("qcow2", "qcow2", "compression_type=zstd"),
        ("qcow2", "qcow2", "lazy_refcounts=on"),
        ("vmdk", "vmdk", "subformat=monolithicSparse"),
        ("vmdk", "vmdk", "subformat=streamOptimized"),
        ("vdi", "vdi", ""),
        ("vdi", "vdi", "static=on"),
        ("vhdx", "vhdx", ""),
        ("vhd", "vpc", "force_size=on"),
        ("raw", "raw", ""),
    ],
)
def test_what_qemu_makes_is_recognised_with_its_size(tmp_path: Path, claim: str, name: str, options: str) -> None:
    source, path = tmp_path / "source", tmp_path / "disk"
    source.write_bytes(b"\x17" * (4 * MIB))
    qemu_img("convert", "-f", "raw", "-O", name, *(["-o", options] if options else []), source, path)

    seen = check("i", claim, inspect_file(path))

    assert seen.format == claim
    assert seen.virtual_size == 4 * MIB == info(path)["virtual-size"]


@pytest.mark.parametrize("name", ["qcow2", "vmdk", "qed"])
def test_an_overlay_is_refused(tmp_path: Path, name: str) -> None:
    base, path = tmp_path / "base", tmp_path / "overlay"
    qemu_img("create", "-f", name, base, "1M")
    qemu_img("create", "-f", name, "-b", base, "-F", name, path)

    with pytest.raises(ImageRefused):
        check("i", name, inspect_file(path))


def test_an_external_data_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    qemu_img("create", "-f", "qcow2", "-o", f"data_file={tmp_path / 'data'}", path, "1M")

    with pytest.raises(ImageRefused, match="data file"):
        check("i", "qcow2", inspect_file(path))


@pytest.mark.parametrize("kind", ["monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"])
def test_a_vmdk_in_several_files_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "disk.vmdk"
    qemu_img("create", "-f", "vmdk", "-o", f"subformat={kind}", path, "1M")

    with pytest.raises(ImageRefused):
        check("i", "vmdk", inspect_file(path))


@pytest.mark.parametrize(
    "text",
    [
        disks.TEXT_VMDK,
        "# caf\u00e9\n" + disks.TEXT_VMDK,
        disks.TEXT_VMDK.replace("monolithicFlat", "vmfs").replace("FLAT", "VMFS"),
        "version=1\nno more than that",
    ],
)
def test_a_text_that_qemu_would_take_for_a_vmdk_is_never_raw(tmp_path: Path, text: str) -> None:
    path = tmp_path / "disk"
    path.write_text(text.ljust(1024, "\n"))
    is_taken = subprocess.run([str(QEMU_IMG), "info", "--output=json", path], capture_output=True, timeout=60)

    assert is_taken.returncode or json.loads(is_taken.stdout)["format"] == "vmdk"
    with pytest.raises(ImageRefused):
        check("i", "raw", inspect_file(path))
