import gzip
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from novaflow.virt.guest.initramfs import Entry, archive, build_initramfs, init_script
from novaflow.virt.guest.modules import Module
from novaflow.virt.guest.sources import static_busybox


def test_an_archive_is_what_cpio_reads(tmp_path: Path) -> None:
    if shutil.which("busybox") is None:
        pytest.skip("busybox is not installed")
    entries = [
        Entry(name="dir", mode=stat.S_IFDIR | 0o755),
        Entry(name="dir/file", mode=stat.S_IFREG | 0o640, data=b"content"),
        Entry(name="link", mode=stat.S_IFLNK | 0o777, data=b"dir/file"),
    ]

    subprocess.run(["busybox", "cpio", "-id"], cwd=tmp_path, input=archive(entries), check=True, timeout=10)

    assert (tmp_path / "dir/file").read_bytes() == b"content"
    assert stat.S_IMODE((tmp_path / "dir/file").stat().st_mode) == 0o640
    assert (tmp_path / "link").readlink() == Path("dir/file")


def test_the_initramfs_is_the_same_every_time_and_has_the_script() -> None:
    busybox = static_busybox()
    if busybox is None:
        pytest.skip("no static busybox is installed")
    modules = [Module(name="virtio", data=b"\x7fELF")]

    one, two = build_initramfs(busybox, modules), build_initramfs(busybox, modules)

    assert one == two
    assert init_script() in gzip.decompress(one)
    assert b"lib/modules/00-virtio.ko" in gzip.decompress(one)


def test_the_script_is_one_that_a_shell_can_read(tmp_path: Path) -> None:
    script = tmp_path / "init"
    script.write_bytes(init_script())

    subprocess.run(["sh", "-n", str(script)], check=True, timeout=10)
