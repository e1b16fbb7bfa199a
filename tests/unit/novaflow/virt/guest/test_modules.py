import gzip
import lzma
from pathlib import Path

import pytest

from novaflow.virt.guest.modules import MissingModule, dependencies, load_order


def module(*needs: str) -> bytes:
    """Something with the .modinfo strings of a module."""
    return b"\x7fELF\0license=GPL\0depends=" + ",".join(needs).encode() + b"\0retpoline=Y\0"


def kernel_with(directory: Path, modules: dict[str, bytes], built_in: str = "") -> Path:
    (directory / "kernel/drivers").mkdir(parents=True)
    for name, data in modules.items():
        (directory / "kernel/drivers" / name).write_bytes(data)
    (directory / "modules.builtin").write_text(built_in)
    return directory


def test_dependencies_come_first_and_everything_once(tmp_path: Path) -> None:
    modules = {
        "net.ko": module("failover", "ring"),
        "failover.ko": module(),
        "ring.ko": module(),
        "blk.ko": module("ring"),
    }
    directory = kernel_with(tmp_path, modules)

    assert [one.name for one in load_order(directory, ["net", "blk"])] == ["failover", "ring", "net", "blk"]


def test_compressed_modules_are_unpacked(tmp_path: Path) -> None:
    packed = {"a.ko.xz": lzma.compress(module("b")), "b.ko.gz": gzip.compress(module())}

    assert [one.data for one in load_order(kernel_with(tmp_path, packed), ["a"])] == [module(), module("b")]


def test_what_is_built_in_needs_no_loading(tmp_path: Path) -> None:
    directory = kernel_with(tmp_path, {"a.ko": module("virtio-ring")}, "kernel/drivers/virtio/virtio_ring.ko\n")

    assert [one.name for one in load_order(directory, ["a", "virtio_ring"])] == ["a"]


def test_a_module_that_is_nowhere_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingModule, match="no module isofs"):
        load_order(kernel_with(tmp_path, {}), ["isofs"])


def test_a_module_without_dependencies_has_none() -> None:
    assert dependencies(module()) == []
    assert dependencies(module("a-b", "c")) == ["a_b", "c"]
