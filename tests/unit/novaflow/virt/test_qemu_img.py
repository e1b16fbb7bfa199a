import asyncio
import json
from pathlib import Path

import pytest

from novaflow.virt.driver import DiskImage
from novaflow.virt.image_facts import Format, read_header
from novaflow.virt.qemu_img import ImageFailed, create_blank, create_overlay, flatten, grow
from tests.support.libvirt import need_libvirt

MIB = 2**20


@pytest.fixture(autouse=True)
def _qemu() -> None:
    need_libvirt()


async def overlay(directory: Path) -> Path:
    """A disk of 4 MiB over a raw image of 1 MiB."""
    base, disk = directory / "base", directory / "disk"
    base.write_bytes(b"\xaa" * MIB)
    image = DiskImage(path=str(base), format="raw", size_bytes=MIB)
    await create_overlay(disk, image, Format(qemu="raw", virtual_bytes=MIB), 4 * MIB)
    return disk


async def info(path: Path) -> dict[str, object]:
    process = await asyncio.create_subprocess_exec(
        "qemu-img", "info", "--output=json", str(path), stdout=asyncio.subprocess.PIPE
    )
    found: dict[str, object] = json.loads((await process.communicate())[0])
    return found


async def test_an_overlay_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    image = DiskImage(path=str(tmp_path / "missing"), format="raw", size_bytes=1)

    with pytest.raises(ImageFailed, match="missing"):
        await create_overlay(tmp_path / "disk", image, Format(qemu="raw", virtual_bytes=1), 0)


async def test_a_flattened_disk_stands_alone(tmp_path: Path) -> None:
    disk = await overlay(tmp_path)

    await flatten(disk, tmp_path / "flat")

    flat = DiskImage(path=str(tmp_path / "flat"), format="qcow2", size_bytes=1)
    assert read_header(flat) == Format(qemu="qcow2", virtual_bytes=4 * MIB)  # which refuses a backing file


async def test_a_copy_that_fails_leaves_no_file(tmp_path: Path) -> None:
    disk = await overlay(tmp_path)
    (tmp_path / "base").unlink()

    with pytest.raises(ImageFailed, match="base"):
        await flatten(disk, tmp_path / "flat")

    assert sorted(file.name for file in tmp_path.iterdir()) == ["disk"]


async def test_a_copy_that_is_cancelled_leaves_no_file(tmp_path: Path) -> None:
    disk = await overlay(tmp_path)
    copying = asyncio.create_task(flatten(disk, tmp_path / "flat"))
    await asyncio.sleep(0)

    copying.cancel()
    await asyncio.wait([copying])

    assert sorted(file.name for file in tmp_path.iterdir()) == ["base", "disk"]


async def test_a_disk_grows_and_never_shrinks(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    await create_blank(disk, 2 * MIB)

    await grow(disk, MIB)
    assert (await info(disk))["virtual-size"] == 2 * MIB
    await grow(disk, 3 * MIB)
    assert (await info(disk))["virtual-size"] == 3 * MIB
