"""What a failure is told as."""

from novaflow.errors import GuestFailed, ImageRefused, NotFound, ServiceUnavailable
from services.compute.faults import fault_of, is_hosts_fault


def test_an_expected_error_is_told_in_its_own_words_and_status() -> None:
    fault = fault_of(NotFound(kind="Image", key="x"))

    assert (fault.code, fault.message, fault.details) == (404, "Image x could not be found.", "")


def test_a_long_reason_is_cut_to_novas_column() -> None:
    assert len(fault_of(GuestFailed(operation="spawn", server_id="s", reason="x" * 999)).message) == 255


def test_an_unexpected_error_is_told_by_its_class_and_place_and_never_by_its_values() -> None:
    def spawn(token: str) -> None:
        raise ValueError(f"cannot use {token}")

    try:
        spawn("secret-token")
    except ValueError as error:
        fault = fault_of(error)

    assert (fault.code, fault.message) == (500, "ValueError")
    assert "spawn, line" in fault.details
    assert "secret" not in fault.details


def test_only_a_hosts_own_trouble_is_worth_another_host() -> None:
    assert is_hosts_fault(GuestFailed(operation="spawn", server_id="s", reason="r"))
    assert is_hosts_fault(ServiceUnavailable(service="image", reason="r"))
    assert is_hosts_fault(OSError("disk full"))
    assert not is_hosts_fault(NotFound(kind="Image", key="x"))
    assert not is_hosts_fault(ImageRefused(image_id="x", reason="r"))
