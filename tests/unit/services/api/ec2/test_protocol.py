"""EC2's query protocol: what becomes of dotted parameters, and what is refused before anything is built of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.api.ec2.errors import Ec2Error
from services.api.ec2.protocol import MAX_DEPTH, MAX_ITEMS, MAX_PARAMETERS, Params, own_params, pairs, version_of


def params(query: str) -> Params:
    return own_params(pairs(query))


def code(query: str) -> str:
    with pytest.raises(Ec2Error) as refused:
        params(query)
    return refused.value.code


def test_dotted_names_become_lists_and_parts() -> None:
    found = params("Filter.1.Name=a&Filter.1.Value.1=x&Filter.1.Value.2=y&BlockDeviceMapping.1.Ebs.VolumeSize=8")

    (one,) = found.all_parts("Filter")
    assert (one.text("Name"), one.texts("Value")) == ("a", ["x", "y"])
    (device,) = found.all_parts("BlockDeviceMapping")
    assert device.parts("Ebs").number("VolumeSize") == 8


def test_lists_are_in_the_order_of_their_numbers_whatever_is_left_out() -> None:
    assert params("InstanceId.10=c&InstanceId.2=b&InstanceId.1=a").texts("InstanceId") == ["a", "b", "c"]
    assert params("InstanceId=a").texts("InstanceId") == ["a"]
    assert params("").texts("InstanceId") == []


def test_the_protocols_own_parameters_are_not_the_actions() -> None:
    assert list(params("Action=A&Version=V&AWSAccessKeyId=k&Signature=s&X-Amz-Date=d&x-amz-signature=s&A=1")) == ["A"]


@pytest.mark.parametrize(
    "query",
    [
        "a",  # neither a name nor a value
        "A=%ff",  # no UTF-8
        "A=1&A=2",
        "A=1&A.B=2",
        "A.B=2&A=1",
        ".=1",
        "A..B=1",
        "A.=1",
        "A. =1",
        ".".join(["A"] * (MAX_DEPTH + 1)) + "=1",
        "A." * 100_000 + "=1",
        "&".join(f"A.{number}=1" for number in range(MAX_PARAMETERS + 1)),
        "A.1234567=1",
        f"{'A' * 129}=1",
    ],
    ids=lambda query: query[:12],
)
def test_what_cannot_be_read_is_malformed(query: str) -> None:
    assert code(query) == "MalformedQueryString"


@pytest.mark.parametrize(
    ("query", "read", "refused"),
    [
        ("", lambda found: found.text("A"), "MissingParameter"),
        ("A=", lambda found: found.text("A"), "MissingParameter"),
        ("A.B=1", lambda found: found.text("A"), "InvalidParameterValue"),
        ("A=x", lambda found: found.number("A"), "InvalidParameterValue"),
        ("A=5", lambda found: found.number("A", most=4), "InvalidParameterValue"),
        ("A=%D9%A1", lambda found: found.number("A"), "InvalidParameterValue"),
        ("A=" + "9" * 5000, lambda found: found.number("A"), "InvalidParameterValue"),
        ("A=yes", lambda found: found.flag("A"), "InvalidParameterValue"),
        ("A=%3D%3D", lambda found: found.data("A", most=9), "InvalidParameterValue"),
        ("A=%C3%A4", lambda found: found.data("A", most=9), "InvalidParameterValue"),
        ("A=eHh4", lambda found: found.data("A", most=2), "InvalidParameterValue"),
        ("A=1", lambda found: found.parts("A"), "InvalidParameterValue"),
        ("A.B=1", lambda found: found.texts("A"), "InvalidParameterValue"),
        ("A.1.B=1", lambda found: found.texts("A"), "InvalidParameterValue"),
        ("A.1=1", lambda found: found.all_parts("A"), "InvalidParameterValue"),
        ("", lambda found: found.some_texts("A"), "MissingParameter"),
        ("B=1", lambda found: found.only(("A",)), "UnknownParameter"),
    ],
)
def test_getters_refuse_what_is_of_another_kind(query: str, read: object, refused: str) -> None:
    with pytest.raises(Ec2Error) as error:
        read(params(query))  # type: ignore[operator]

    assert error.value.code == refused


def test_a_list_that_is_too_long_is_refused() -> None:
    found = params("&".join(f"A.{number}=1" for number in range(MAX_ITEMS + 1)))

    with pytest.raises(Ec2Error, match="at most"):
        found.texts("A")


def test_base64_may_be_wrapped() -> None:
    assert params("A=aGVs%0AbG8%3D").data("A", most=5) == b"hello"


@pytest.mark.parametrize("version", ["2010-08-31", "2014-06-15", "2016-11-15"])
def test_versions_of_six_years_are_spoken(version: str) -> None:
    assert version_of({"Version": version}) == version


@pytest.mark.parametrize("version", ["2010-08-30", "2016-11-16", "latest", "2016-11-1", "2014-01-01 "])
def test_other_versions_are_not(version: str) -> None:
    with pytest.raises(Ec2Error, match="does not exist"):
        version_of({"Version": version})


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="AB.12=&%é", max_size=40))
def test_whatever_is_sent_is_read_or_malformed(query: str) -> None:
    try:
        params(query)
    except Ec2Error as refused:
        assert refused.code == "MalformedQueryString"  # noqa: PT017 - it may be either
