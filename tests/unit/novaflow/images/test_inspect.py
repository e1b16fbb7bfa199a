"""What images really are, told from their bytes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novaflow.errors import ImageRefused
from novaflow.images.inspect import DiskImage, Inspector, check, inspect_file
from tests.support import disks
from tests.support.disks import MIB

GENUINE = {
    "raw": (b"\x01" * 4096, 4096),
    "qcow2": (disks.qcow2(10 * MIB), 10 * MIB),
    "vhd": (disks.vhd(10 * MIB), 10 * MIB),
    "vhdx": (disks.vhdx(10 * MIB), 10 * MIB),
    "vdi": (disks.vdi(10 * MIB), 10 * MIB),
    "vmdk": (disks.vmdk(), 10 * MIB),
    "iso": (disks.iso(100), 204800),
}
UNSAFE = {
    "backing file": disks.qcow2(backing_offset=512),
    "data file": disks.qcow2(features=1 << 2),
    "unknown feature": disks.qcow2(features=1 << 40),
    "extended entries": disks.qcow2(features=1 << 4),
    "qcow version 1": disks.qcow2(version=1),
    "short qcow2": b"QFI\xfb\0\0\0\3",
    "impossible size": disks.qcow2(2**64 - 1),
    "qed": b"QED\0".ljust(4096, b"\0"),
    "vhd with parent": disks.vhd(kind=4),
    "short vhd": b"conectix",
    "vdi with parent": disks.vdi(kind=4),
    "vhdx with parent": disks.vhdx(has_parent=True),
    "vhdx without metadata": disks.vhdx(metadata=b"METADATA"),
    "vhdx of too many entries": disks.vhdx(entries=65535),
    "short vhdx": disks.vhdx()[: 300 * 1024],
    "several at once": disks.qcow2(length=32768) + disks.iso()[32768:],
}


def seen(data: bytes, step: int = MIB) -> DiskImage:
    inspector = Inspector()
    for start in range(0, len(data), step):
        inspector.feed(data[start : start + step])
    return inspector.finish()


@pytest.mark.parametrize("name", GENUINE)
def test_a_genuine_image_is_recognised_with_the_size_of_its_disk(name: str) -> None:
    data, virtual_size = GENUINE[name]

    assert seen(data) == DiskImage(format=name, virtual_size=virtual_size, size=len(data))
    assert check("i", name, seen(data)).virtual_size == virtual_size


@pytest.mark.parametrize("name", GENUINE)
@pytest.mark.parametrize("step", [1021, 4096, 65536])
def test_how_the_bytes_are_cut_makes_no_difference(name: str, step: int) -> None:
    data, _ = GENUINE[name]

    assert seen(data, step) == seen(data, len(data))


@pytest.mark.parametrize("data", [disks.qcow2(length=600), disks.vhd(), disks.vdi(), disks.stream_vmdk()[:3000], b""])
def test_even_single_bytes_are_enough(data: bytes) -> None:
    assert seen(data, 1) == seen(data, MIB)


@pytest.mark.parametrize("data", [*(data for data, _ in GENUINE.values()), *UNSAFE.values(), disks.stream_vmdk()])
def test_a_file_on_disk_is_seen_as_its_stream_is(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "image"
    path.write_bytes(data)

    assert inspect_file(path) == seen(data)


@pytest.mark.parametrize("name", UNSAFE)
def test_what_would_open_other_files_or_cannot_be_read_is_refused_whatever_it_claims(name: str) -> None:
    image = seen(UNSAFE[name])

    for claim in ("raw", "qcow2", "vhd", "vhdx", "vdi", "vmdk", "iso", "ami"):
        with pytest.raises(ImageRefused):
            check("i", claim, image)


@pytest.mark.parametrize("name", sorted(GENUINE.keys() - {"raw", "iso"}))
@pytest.mark.parametrize("claim", ["raw", "ami", "aki", "ari", "ploop", "iso"])
def test_raw_must_not_hide_another_format(name: str, claim: str) -> None:
    with pytest.raises(ImageRefused, match=f"disk_format {claim} does not match stream data {name}"):
        check("i", claim, seen(GENUINE[name][0]))


@pytest.mark.parametrize("claim", sorted(GENUINE.keys() - {"raw"}))
def test_a_claim_must_be_true(claim: str) -> None:
    with pytest.raises(ImageRefused, match=f"disk_format {claim} does not match stream data raw"):
        check("i", claim, seen(b"\x01" * 4096))


@pytest.mark.parametrize("data", [disks.partitioned(), disks.iso(), disks.iso(bootable=True), b""])
@pytest.mark.parametrize("claim", ["raw", "ami", "aki", "ari"])
def test_partitioned_disks_and_isos_may_be_raw_and_are_as_large_as_their_file(data: bytes, claim: str) -> None:
    assert check("i", claim, seen(data)) == DiskImage(format="raw", virtual_size=len(data), size=len(data))


def test_a_bootable_iso_is_an_iso() -> None:
    assert check("i", "iso", seen(disks.iso(bootable=True))).format == "iso"


def test_an_encrypted_volume_is_not_raw() -> None:
    with pytest.raises(ImageRefused, match="luks"):
        check("i", "raw", seen(b"LUKS\xba\xbe\0\1".ljust(4096, b"\0")))


def test_a_fat_boot_sector_is_no_partition_table() -> None:
    sector = bytearray(disks.partitioned(4096))
    sector[0x10], sector[0x15] = 2, 0xF8

    assert seen(bytes(sector)).format == "raw"


def test_an_older_qcow2_has_no_features_to_be_refused_for() -> None:
    assert check("i", "qcow2", seen(disks.qcow2(version=2, features=1 << 2))).format == "qcow2"


@given(st.binary(max_size=3000), st.sampled_from([b"", b"KDMV", b"QFI\xfb", b"vhdxfile", b"conectix", b"# x\n"]))
def test_no_bytes_make_the_inspector_fail(data: bytes, magic: bytes) -> None:
    image = seen(magic + data, 700)

    assert image.size == len(magic + data)
    assert image.format
