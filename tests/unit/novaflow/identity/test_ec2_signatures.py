import base64
import hmac
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from novaflow.errors import SignatureRefused
from novaflow.identity.ec2_canonical import v2_text
from novaflow.identity.ec2_requests import SignedRequest, without_port
from novaflow.identity.ec2_signatures import verify
from novaflow.identity.ec2_times import longest_life
from tests.support.ec2 import SECRET, Shape, presigned_v4, signed_v2, signed_v4

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SHAPES = {
    "post": Shape(),
    "get": Shape("GET"),
    "root": Shape("GET", "http://cloud.example:8773"),
    "no port": Shape("GET", "http://cloud.example/services/Cloud"),
    "tls": Shape("POST", "https://cloud.example/"),
    "address": Shape("GET", "http://192.0.2.7:8773/services/Cloud"),
    "address of version 6": Shape("GET", "http://[2001:db8::7]:8773/services/Cloud"),
    "lists": Shape("GET", params={f"InstanceId.{n}": f"i-{n:08x}" for n in range(12)}),
    "every ASCII character": Shape("GET", params={"Value": "".join(map(chr, range(32, 127)))}),
    "all the world": Shape("POST", params={"Filter.1.Value.1": "grün 雲 😀", "Ü": "ß"}),
    "empty values": Shape("GET", params={"UserData": "", "KeyName": " "}),
    "upper before lower": Shape("GET", params={"b": "1", "B": "2", "a.10": "3", "a.2": "4", "a-": "5", "a": "6"}),
    "encoded path": Shape("GET", "http://cloud.example:8773/services/My%20Cloud~/"),
}
VECTORS: list[dict[str, Any]] = msgspec.json.decode(Path("tests/data/ec2-signatures/keystoneclient.json").read_bytes())[
    "requests"
]
MORE_SHAPES = {
    "header with much space": Shape("POST", headers={"X-Amz-Note": "  a   b  "}),
    "date header": Shape("GET", headers={"Date": "now"}),
    "dots in the path": Shape("GET", "http://cloud.example:8773/services/.//x/../Cloud"),
}
FAR = timedelta(seconds=301)
NEAR = timedelta(seconds=300)


def refusal(request: SignedRequest, now: datetime = NOW) -> str:
    """Amazon's name for what is wrong."""
    with pytest.raises(SignatureRefused) as refused:
        verify(request, SECRET, now)
    return refused.value.ec2_code


def change(request: SignedRequest, **changes: Any) -> SignedRequest:
    return msgspec.structs.replace(request, **changes)


def resigned(request: SignedRequest, **params: str | None) -> SignedRequest:
    """Version 2 with other parameters, signed as its SignatureMethod says."""
    merged = dict(request.params) | params
    kept = change(request, params={name: value for name, value in merged.items() if value is not None})
    digest = "sha1" if kept.params.get("SignatureMethod") == "HmacSHA1" else "sha256"
    signature = hmac.digest(SECRET.encode(), v2_text(kept, kept.hosts[0]).encode(), digest)
    return change(kept, signature=base64.b64encode(signature).decode())


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_what_botocore_signs_in_version_2_is_accepted(shape: Shape) -> None:
    verify(signed_v2(shape, NOW), SECRET, NOW)


@pytest.mark.parametrize("shape", (SHAPES | MORE_SHAPES).values(), ids=SHAPES | MORE_SHAPES)
def test_what_botocore_signs_in_a_header_is_accepted(shape: Shape) -> None:
    verify(signed_v4(shape, NOW), SECRET, NOW)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_what_botocore_presigns_is_accepted(shape: Shape) -> None:
    verify(presigned_v4(shape, NOW), SECRET, NOW)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_what_keystones_own_signer_signs_is_accepted(vector: dict[str, Any]) -> None:
    verify(msgspec.convert(vector["credentials"], SignedRequest), SECRET, NOW)


def test_version_2_may_use_sha1() -> None:
    request = resigned(signed_v2(Shape(), NOW), SignatureMethod="HmacSHA1")

    verify(request, SECRET, NOW)


def test_version_2_may_say_when_it_ends_instead_of_when_it_was_made() -> None:
    request = signed_v2(Shape(), NOW)
    ends = resigned(request, Timestamp=None, Expires="2026-01-02T03:04:06Z")

    verify(ends, SECRET, NOW)

    assert refusal(ends, NOW + timedelta(seconds=2)) == "RequestExpired"
    assert refusal(resigned(ends, Expires="2027-01-02T03:04:06Z")) == "AuthorizationQueryParametersError"
    assert refusal(resigned(ends, Timestamp="2026-01-02T03:04:05Z")) == "InvalidParameterCombination"
    assert refusal(resigned(ends, Expires=None)) == "MissingParameter"


@pytest.mark.parametrize("sign", [signed_v2, signed_v4, presigned_v4])
@pytest.mark.parametrize("url", ["http://cloud.example/", "http://[2001:db8::7]/"])
def test_clients_may_leave_the_port_out_of_what_they_sign(sign: Any, url: str) -> None:
    request = sign(Shape("GET", url), NOW)
    host = f"{request.host}:8773"

    verify(change(request, host=host, headers=dict(request.headers) | {"Host": host}), SECRET, NOW)


@pytest.mark.parametrize(
    ("signed", "sent"),
    [
        ("cloud.example", "Cloud.Example:8773"),
        ("cloud.example:80", "cloud.example"),
        ("cloud.example:443", "cloud.example"),
    ],
)
def test_version_2_signs_a_host_in_lower_case_and_with_a_port_that_is_not_sent(signed: str, sent: str) -> None:
    request = signed_v2(Shape("GET", f"http://{signed}/"), NOW)

    verify(change(request, host=sent, headers={"Host": sent}), SECRET, NOW)


@pytest.mark.parametrize("sent", ["cloud.example:80", "cloud.example:8774", "cloud.example.", "other.example:8773"])
@pytest.mark.parametrize("sign", [signed_v2, signed_v4, presigned_v4])
def test_another_host_is_another_request(sign: Any, sent: str) -> None:
    request = sign(Shape("GET"), NOW)

    assert (
        refusal(change(request, host=sent, headers=dict(request.headers) | {"Host": sent})) == "SignatureDoesNotMatch"
    )


def test_a_host_without_its_port() -> None:
    assert [without_port(host) for host in ("a:1", "a", "[::1]:1", "[::1]", "a:", "")] == [
        "a", "a", "[::1]", "[::1]", "a:", "",
    ]  # fmt: skip


@pytest.mark.parametrize("sign", [signed_v2, signed_v4])
def test_a_request_counts_for_five_minutes_before_and_after(sign: Any) -> None:
    request = sign(Shape(), NOW)

    verify(request, SECRET, NOW + NEAR)
    verify(request, SECRET, NOW - NEAR)

    assert refusal(request, NOW + FAR) == "RequestExpired"
    assert refusal(request, NOW - FAR) == "RequestExpired"


def test_a_presigned_request_counts_for_as_long_as_it_says() -> None:
    request = presigned_v4(Shape("GET"), NOW, expires=1000)

    verify(request, SECRET, NOW + timedelta(seconds=1000))

    assert refusal(request, NOW + timedelta(seconds=1001)) == "RequestExpired"
    assert refusal(request, NOW - FAR) == "RequestExpired"


@pytest.mark.parametrize(
    "request_",
    [
        signed_v2(Shape(), NOW),
        signed_v4(Shape(), NOW),
        presigned_v4(Shape("GET"), NOW, expires=604800),
        resigned(signed_v2(Shape(), NOW), Timestamp=None, Expires="2026-01-09T03:04:05Z"),
    ],
    ids=["version 2", "version 4", "presigned", "with Expires"],
)
def test_a_signature_counts_no_longer_than_it_is_remembered(request_: SignedRequest) -> None:
    """By any clock that is as far from the one that it was used by as a client's may be."""
    for used_at in (NOW - NEAR, NOW, NOW + NEAR):
        try:
            verify(request_, SECRET, used_at)
        except SignatureRefused:
            continue
        assert refusal(request_, used_at + longest_life(request_) - NEAR + timedelta(seconds=1)) == "RequestExpired"


@pytest.mark.parametrize("expires", ["604801", "0", "-1", "", "1e3", "٣", "9" * 5000])
def test_a_presigned_request_lives_for_seven_days_at_most(expires: str) -> None:
    request = presigned_v4(Shape("GET"), NOW, expires=expires)  # type: ignore[arg-type]

    assert refusal(request) == "AuthorizationQueryParametersError"


@pytest.mark.parametrize("sign", [signed_v2, signed_v4, presigned_v4])
@pytest.mark.parametrize(
    "wrong",
    [
        {"verb": "PUT"},
        {"path": "/services/Cloud/x"},
        {"params": {"Action": "TerminateInstances"}},
        {"host": "elsewhere.example", "headers": {"Host": "elsewhere.example"}},
        {"signature": ""},
        {"signature": "é"},
        {"signature": "\ud800"},
    ],
    ids=str,
)
def test_nothing_about_a_signed_request_can_be_changed(sign: Any, wrong: dict[str, Any]) -> None:
    request = sign(Shape("GET"), NOW)
    merged = {
        name: dict(getattr(request, name)) | value if isinstance(value, dict) else value
        for name, value in wrong.items()
    }

    assert refusal(change(request, **merged)) in ("SignatureDoesNotMatch", "MissingParameter", "IncompleteSignature")


def test_the_body_cannot_be_changed() -> None:
    request = signed_v4(Shape(), NOW)

    assert refusal(change(request, body_hash="0" * 64)) == "SignatureDoesNotMatch"
    for wrong in ("", "UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"):
        assert refusal(change(request, body_hash=wrong)) == "IncompleteSignature"


def test_another_key_does_not_fit() -> None:
    for sign in (signed_v2, signed_v4, presigned_v4):
        with pytest.raises(SignatureRefused, match="Invalid EC2 signature"):
            verify(sign(Shape("GET"), NOW), f"{SECRET}x", NOW)
        assert refusal(change(sign(Shape("GET"), NOW), access="another")) == "IncompleteSignature"


@pytest.mark.parametrize(
    ("header", "ec2_code"),
    [
        ("AWS4-HMAC-SHA256", "IncompleteSignature"),
        ("AWS4-HMAC-SHA256 Credential=A/20260102/r/ec2/aws4_request, SignedHeaders=host", "IncompleteSignature"),
        ("AWS4-HMAC-SHA256 Credential=ACCESS/20260102/r/ec2, SignedHeaders=host, Signature=0", "IncompleteSignature"),
        ("AWS4-HMAC-SHA256 Credential=ACCESS/20260102/r/ec2/aws5, SignedHeaders=host, Signature=0", "IncompleteSignature"),
        ("AWS4-HMAC-SHA256 Credential=ACCESS/20260102//ec2/aws4_request, SignedHeaders=host, Signature=0", "IncompleteSignature"),
        ("AWS4-HMAC-SHA256 Credential=ACCESS/20260103/r/ec2/aws4_request, SignedHeaders=host, Signature=0", "IncompleteSignature"),
        ("AWS4-HMAC-SHA256 Credential=ACCESS/2026/r/ec2/aws4_request, SignedHeaders=host, Signature=0", "IncompleteSignature"),
        ("AWS4-HMAC-SHA256 Credential=ACCESS/20260102/r/ec2/aws4_request, SignedHeaders=x-amz-date, Signature=0", "IncompleteSignature"),
        ("AWS4-HMAC-SHA256 Credential=ACCESS/20260102/r/ec2/aws4_request, SignedHeaders=host;gone, Signature=0", "IncompleteSignature"),
        ("AWS4-HMAC-SHA256 Credential=ACCESS/20260102/r/ec2/aws4_request, SignedHeaders=host, Signature=0", "SignatureDoesNotMatch"),
        ("AWS4-ECDSA-P256-SHA256 Credential=x", "IncompleteSignature"),
    ],
)  # fmt: skip
def test_a_header_that_says_too_little_is_refused(header: str, ec2_code: str) -> None:
    request = signed_v4(Shape("GET"), NOW)
    wrong = header.replace("ACCESS", request.access)

    assert refusal(change(request, headers=dict(request.headers) | {"Authorization": wrong})) == ec2_code


@pytest.mark.parametrize(
    ("params", "ec2_code"),
    [
        ({"SignatureVersion": "1"}, "IncompleteSignature"),
        ({"SignatureVersion": "0"}, "IncompleteSignature"),
        ({"SignatureVersion": "4"}, "IncompleteSignature"),
        ({"SignatureVersion": None}, "IncompleteSignature"),
        ({"SignatureMethod": "HmacMD5"}, "InvalidParameterValue"),
        ({"SignatureMethod": None}, "InvalidParameterValue"),
        ({"Timestamp": "yesterday"}, "InvalidParameterValue"),
        ({"Timestamp": "0001-01-01T00:00:00+23:00"}, "InvalidParameterValue"),
        ({"Timestamp": "9999-12-31T23:59:59"}, "RequestExpired"),
        ({"AWSAccessKeyId": "another"}, "IncompleteSignature"),
        ({"AWSAccessKeyId": None}, "IncompleteSignature"),
    ],
    ids=str,
)
def test_a_query_of_version_2_that_is_not_one_is_refused(params: dict[str, str | None], ec2_code: str) -> None:
    assert refusal(resigned(signed_v2(Shape(), NOW), **params)) == ec2_code


@pytest.mark.parametrize("date", ["", "20260102", "2026-01-02T03:04:05Z", "20260102T03045Z", "20261302T030405Z", None])
def test_version_4_has_a_date_of_its_own_form(date: str | None) -> None:
    request = signed_v4(Shape("GET"), NOW)
    headers = {name: value for name, value in request.headers.items() if name != "X-Amz-Date"}

    wrong = change(request, headers=headers | ({"X-Amz-Date": date} if date is not None else {}))

    assert refusal(wrong) == "IncompleteSignature"


def test_a_refusal_never_says_what_would_have_been_right() -> None:
    request = signed_v2(Shape(), NOW)

    with pytest.raises(SignatureRefused) as refused:
        verify(change(request, signature="x"), SECRET, NOW)

    assert request.signature not in str(refused.value)
    assert SECRET not in repr(refused.value)
