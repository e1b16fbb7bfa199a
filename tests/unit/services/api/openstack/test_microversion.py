"""Which version of the API answers."""

from http import HTTPStatus

import pytest

from services.api.openstack.faults import HttpFault
from services.api.openstack.microversion import MAX, MIN, echo, negotiate, text


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        ({}, MIN),
        ({"OpenStack-API-Version": "compute 2.19"}, (2, 19)),
        ({"OpenStack-API-Version": "volume 3.27, compute 2.9"}, (2, 9)),
        ({"OpenStack-API-Version": "COMPUTE latest"}, MAX),
        ({"OpenStack-API-Version": "placement 1.36"}, MIN),
        ({"X-OpenStack-Nova-API-Version": "2.3"}, (2, 3)),
        ({"X-OpenStack-Nova-API-Version": "latest"}, MAX),
        ({"OpenStack-API-Version": "compute 2.9", "X-OpenStack-Nova-API-Version": "2.3"}, (2, 9)),
    ],
)
def test_the_header_says_it_and_the_new_one_counts(headers: dict[str, str], version: tuple[int, int]) -> None:
    assert negotiate(headers) == version


@pytest.mark.parametrize("asked", ["", "2", "2.", "two", "2.01", "2.1.1", "-2.1", "2.9999999", "newest", "²"])
def test_what_is_no_version_is_a_bad_request(asked: str) -> None:
    with pytest.raises(HttpFault) as caught:
        negotiate({"OpenStack-API-Version": f"compute {asked}"})

    assert caught.value.status is HTTPStatus.BAD_REQUEST
    assert caught.value.message == (
        f"API Version String {asked} is of invalid format. Must be of format MajorNum.MinorNum."
    )


@pytest.mark.parametrize("asked", ["2.0", f"2.{MAX[1] + 1}", "3.0", "1.1"])
def test_a_version_that_is_not_here_is_not_acceptable(asked: str) -> None:
    with pytest.raises(HttpFault) as caught:
        negotiate({"X-OpenStack-Nova-API-Version": asked})

    assert caught.value.status is HTTPStatus.NOT_ACCEPTABLE
    assert caught.value.message == (
        f"Version {asked} is not supported by the API. Minimum is 2.1 and maximum is {text(MAX)}."
    )


def test_the_answer_says_which_it_was() -> None:
    assert echo((2, 19)) == {
        "OpenStack-API-Version": "compute 2.19",
        "X-OpenStack-Nova-API-Version": "2.19",
        "Vary": "OpenStack-API-Version, X-OpenStack-Nova-API-Version",
    }
