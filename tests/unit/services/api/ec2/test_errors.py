"""What the cloud refuses, in EC2's codes."""

import pytest

from novaflow import errors
from services.api.ec2.errors import translated


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("Instance", "InvalidInstanceID.NotFound"),
        ("Volume", "InvalidVolume.NotFound"),
        ("Snapshot", "InvalidSnapshot.NotFound"),
        ("Flavor", "InvalidParameterValue"),
    ],
)
def test_what_goes_while_a_request_is_carried_out_is_not_found(kind: str, code: str) -> None:
    assert translated(errors.NotFound(kind=kind, key="x")).code == code
