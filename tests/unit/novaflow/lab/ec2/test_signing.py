"""The lab's own signatures, beside botocore's and before those who check them."""

import hashlib
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from novaflow.identity.ec2_requests import SignedRequest
from novaflow.identity.ec2_signatures import verify
from novaflow.lab.ec2.signing import Keys, Request, signed
from tests.support.ec2 import ACCESS, FORM, SECRET, Shape, signed_v4

NOW = datetime(2026, 11, 29, 12, 0, 0, tzinfo=UTC)
URL = "http://cloud.example:8773/services/Cloud/"
PARAMS = {
    "Action": "DescribeInstances",
    "Version": "2016-11-15",
    "Filter.1.Name": "tag:a-b",
    "Filter.1.Value.1": "ü&=+*~",
}


def test_a_signature_is_the_one_that_botocore_makes() -> None:
    by_botocore = signed_v4(Shape(url=URL, params=PARAMS), NOW)

    ours = signed(URL, dict(by_botocore.params), Keys(ACCESS, SECRET), "RegionOne", NOW)

    assert ours.headers["content-type"] == FORM
    assert ours.headers["authorization"].rpartition("Signature=")[2] == by_botocore.signature


def test_a_request_passes_those_who_check_it() -> None:
    request = signed(URL, PARAMS, Keys(ACCESS, SECRET), "RegionOne", NOW)

    verify(received(request), SECRET, NOW)


def test_a_secret_shows_in_no_repr() -> None:
    assert "hidden" not in repr(Keys("access", "hidden"))
    assert "hidden" not in repr(Request("GET", "http://127.0.0.1/", {"X-Auth-Token": "hidden"}))


def received(request: Request) -> SignedRequest:
    assert request.body is not None
    return SignedRequest(
        access=ACCESS,
        signature=request.headers["authorization"].rpartition("Signature=")[2],
        verb=request.method,
        host=request.headers["host"],
        path="/services/Cloud/",
        params=dict(parse_qsl(request.body.decode(), keep_blank_values=True)),
        headers=dict(request.headers),
        body_hash=hashlib.sha256(request.body).hexdigest(),
    )
