"""What must hold before a server is recorded, and the names servers get."""

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novaflow.errors import Invalid, LimitExceeded
from novaflow.models import Context, Flavor, ImageFacts, InjectedFile
from novaflow.operations.boot_rules import (
    boot_files,
    check_files,
    check_image,
    check_metadata,
    host_name,
    numbered,
)
from novaflow.quotas import QuotaLimits

SMALL = Flavor(id="1", name="m1.tiny", vcpus=1, ram_mb=512, disk_gb=1)
USER = Context(request_id="req-1", user_id="u", project_id="p")
SERVER_ID = "5e5ab34d-a9d2-4a2f-a7f8-d5a1d8a2f7b0"


@pytest.mark.parametrize(
    "image",
    [
        ImageFacts(id="i"),
        ImageFacts(id="i", size_bytes=2**30, min_disk_gb=1, min_ram_mb=512),
    ],
)
def test_an_image_that_just_fits_is_fine(image: ImageFacts) -> None:
    check_image(image, SMALL, USER)


@pytest.mark.parametrize(
    "image",
    [
        ImageFacts(id="i", status="deactivated"),
        ImageFacts(id="i", size_bytes=2**30 + 1),
        ImageFacts(id="i", min_disk_gb=2),
        ImageFacts(id="i", min_ram_mb=513),
    ],
)
def test_an_image_that_does_not_fit_is_refused(image: ImageFacts) -> None:
    with pytest.raises(Invalid):
        check_image(image, SMALL, USER)


def test_unlimited_is_unlimited() -> None:
    limits = QuotaLimits(
        metadata_items=-1, injected_files=-1, injected_file_path_bytes=-1, injected_file_content_bytes=-1
    )
    file = InjectedFile(path="/" * 1000, contents=base64.b64encode(bytes(100_000)).decode())

    check_metadata({str(number): "" for number in range(1000)}, limits)
    check_files([file] * 100, limits)


def test_a_limit_of_nothing_refuses_the_first() -> None:
    with pytest.raises(LimitExceeded, match="Maximum number of metadata items exceeds 0"):
        check_metadata({"a": ""}, QuotaLimits(metadata_items=0))
    with pytest.raises(LimitExceeded, match="Personality file limit exceeded"):
        check_files([InjectedFile(path="/a", contents="")], QuotaLimits(injected_files=0))


@pytest.mark.parametrize(("content", "is_refused"), [(b"abc", False), (b"abcd", True)])
def test_a_files_size_is_that_of_its_bytes_not_of_its_base64(content: bytes, is_refused: object) -> None:
    file = InjectedFile(path="/a", contents=base64.b64encode(content).decode())
    limits = QuotaLimits(injected_file_content_bytes=3)

    if is_refused:
        with pytest.raises(LimitExceeded, match="Personality file content exceeds maximum 3"):
            check_files([file], limits)
    else:
        check_files([file], limits)


@pytest.mark.parametrize(
    ("image", "files"),
    [
        (ImageFacts(id="i", kernel_id="k", ramdisk_id="r"), ("k", "r")),
        (ImageFacts(id="i"), ("", "")),
        (ImageFacts(id="i", kernel_id="nokernel", ramdisk_id="r"), ("", "")),
    ],
)
def test_nokernel_means_the_image_boots_by_itself(image: ImageFacts, files: tuple[str, str]) -> None:
    assert boot_files(image) == files


def test_servers_of_one_request_are_numbered_from_one() -> None:
    assert [numbered("web", index, 2) for index in range(2)] == ["web-1", "web-2"]
    assert numbered("web", 0, 1) == "web"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Web Server_1.example", "web-server-1-example"),
        ("-web-", "web"),
        ("a" * 80, "a" * 63),
        ("日本", f"server-{SERVER_ID}"),
        ("...", f"server-{SERVER_ID}"),
    ],
)
def test_a_host_name_is_made_of_the_name(name: str, expected: str) -> None:
    assert host_name(name, SERVER_ID) == expected


@given(st.text(max_size=300))
def test_whatever_the_name_the_host_name_is_one(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", host_name(name, SERVER_ID))
