import hashlib
from pathlib import Path

import pytest

from novaflow.errors import GuestFailed
from novaflow.virt.guest import GuestFiles, build_guest
from novaflow.virt.guest.kernel import installed_kernels, readable_kernel
from novaflow.virt.guest.sources import is_static
from tests.support.libvirt import need_libvirt


def digests(files: GuestFiles) -> list[str]:
    return [
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (files.kernel, files.ramdisk, files.blank, files.disk)
    ]  # fmt: skip


def test_a_guest_is_built_once_and_always_the_same(tmp_path: Path) -> None:
    need_libvirt()
    said: list[str] = []

    first = build_guest(tmp_path / "a", said.append)
    steps = len(said)
    again = build_guest(tmp_path / "a", said.append)
    elsewhere = build_guest(tmp_path / "b")

    assert steps > 0
    assert len(said) == steps  # nothing to do the second time
    assert again == first
    assert digests(elsewhere) == digests(first)


def test_a_directory_that_cannot_be_used_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(GuestFailed, match="build failed for the guest image"):
        build_guest(tmp_path / "file" / "below")


def test_kernels_with_little_hardware_and_with_their_modules_are_preferred(tmp_path: Path) -> None:
    (tmp_path / "boot").mkdir()
    for release in ("6.1.0-9-amd64", "6.1.0-9-cloud-amd64", "6.1.0-10-cloud-amd64", "6.9.0-1-cloud-amd64"):
        (tmp_path / "boot" / f"vmlinuz-{release}").touch()
        if not release.startswith("6.9"):
            (tmp_path / "lib/modules" / release).mkdir(parents=True)

    releases = [release for release, _ in installed_kernels(tmp_path)]

    assert releases == ["6.1.0-10-cloud-amd64", "6.1.0-9-cloud-amd64", "6.1.0-9-amd64"]
    assert readable_kernel(tmp_path / "nowhere") is None


def test_a_program_with_a_loader_is_not_static(tmp_path: Path) -> None:
    dynamic = tmp_path / "dynamic"
    dynamic.write_bytes(b"\x7fELF" + bytes(100) + b"/lib64/ld-linux-x86-64.so.2\0")
    static = tmp_path / "static"
    static.write_bytes(b"\x7fELF" + bytes(5000))

    assert not is_static(dynamic)
    assert is_static(static)
