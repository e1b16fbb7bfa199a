import io
from datetime import UTC, datetime, timedelta, timezone

import pycdlib
import pytest

from novaflow.virt.iso9660 import SECTOR, build_image

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FILES = {
    "top": b"at the top",
    "openstack/latest/meta_data.json": b"{}",
    "openstack/2012-08-10/meta_data.json": b"{}",
    "openstack/content/0000": b"",
    "ec2/latest/user-data": bytes(range(256)) * 33,
}


def read(image: bytes, **path: str) -> bytes:
    """What an implementation that is not ours finds in the image."""
    iso = pycdlib.PyCdlib()
    iso.open_fp(io.BytesIO(image))
    out = io.BytesIO()
    iso.get_file_from_iso_fp(out, **path)
    iso.close()
    return out.getvalue()


@pytest.mark.parametrize("kind", ["rr_path", "joliet_path"])
@pytest.mark.parametrize("path", FILES)
def test_every_file_is_found_by_its_real_name(path: str, kind: str) -> None:
    image = build_image("config-2", FILES, NOW)

    assert read(image, **{kind: f"/{path}"}) == FILES[path]


def test_plain_names_are_upper_case() -> None:
    image = build_image("config-2", FILES, NOW)

    assert read(image, iso_path="/OPENSTACK/2012_08_10/META_DATA.JSON;1") == b"{}"
    assert read(image, iso_path="/EC2/LATEST/USER_DATA.;1") == FILES["ec2/latest/user-data"]


def test_the_label_is_in_both_volume_descriptors() -> None:
    image = build_image("config-2", FILES, NOW)

    assert image[16 * SECTOR + 40 :][:32] == b"config-2".ljust(32)
    assert image[17 * SECTOR + 40 :][:32] == "config-2".ljust(16).encode("utf-16-be")


def test_equal_input_gives_equal_bytes_and_the_date_is_in_them() -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5)))

    assert build_image("a", FILES, NOW) == build_image("a", FILES, elsewhere)
    assert build_image("a", FILES, NOW) != build_image("a", FILES, NOW + timedelta(seconds=1))


def test_equal_contents_are_kept_once() -> None:
    content = bytes(100 * SECTOR)

    one = build_image("a", {"a": content}, NOW)
    two = build_image("a", {"a": content, "b": content}, NOW)

    assert len(one) == len(two)


def test_a_directory_may_need_more_than_a_sector() -> None:
    files = {f"dir/a-rather-long-name-{number:04}.txt": str(number).encode() for number in range(100)}

    image = build_image("a", files, NOW)

    for path in (*files,)[::33]:  # the first, the last, and some across the sectors' borders
        assert read(image, rr_path=f"/{path}") == files[path]
        assert read(image, joliet_path=f"/{path}") == files[path]


@pytest.mark.parametrize("path", ["", "a//b", "../a", "a/.", "x" * 65, "new\nline"])
def test_a_name_that_does_not_fit_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="cannot be a name"):
        build_image("a", {path: b""}, NOW)


def test_names_that_would_fall_together_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot tell apart"):
        build_image("a", {"a-b": b"", "a_b": b""}, NOW)
