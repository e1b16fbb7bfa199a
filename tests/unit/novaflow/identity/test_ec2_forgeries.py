"""Any part of a signed request, changed in any way, makes it one that was not signed; in the form in which services pass it on."""

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from novaflow.errors import SignatureRefused
from novaflow.identity.ec2_requests import SignedRequest
from novaflow.identity.ec2_signatures import verify
from tests.support.ec2 import SECRET, Shape, presigned_v4, signed_v2, signed_v4
from tests.support.identity import START

NOW: Final = START.replace(microsecond=0)
LISTS: Final = {"Filter.1.Name": "tag:a", "Filter.1.Value.1": "b c+d~e*f&g=h;i/é", "UserData": ""}
SIGNED: Final = {
    f"{sign.__name__}, {shape.verb}": sign(shape, NOW)
    for sign, shapes in (
        (signed_v2, (Shape(params=LISTS), Shape("GET", params=LISTS))),
        (signed_v4, (Shape(params=LISTS), Shape("GET", params=LISTS, headers={"X-Amz-Note": "a b"}))),
        (presigned_v4, (Shape("GET", params=LISTS),)),
    )
    for shape in shapes
}
LETTERS: Final = st.sampled_from([*"aAzZ09 %+&=;?#/.,~*-_:", "%20", "é", "\x00", "\n", "\ud800", ""])
Draw = Callable[[st.SearchStrategy[Any]], Any]


def edited(draw: Draw, text: str) -> str:
    """The text with something more, less or else in one place."""
    at = draw(st.integers(0, len(text)))
    changed: str = text[:at] + draw(LETTERS) + text[at + draw(st.integers(0, 1)) :]
    assume(changed != text)
    return changed


def with_one_edited(draw: Draw, given: Mapping[str, str], *, but: tuple[str, ...] = ()) -> dict[str, str]:
    """A mapping in which one name or value is another, or is missing, or is new."""
    name = draw(st.sampled_from(sorted(set(given) - set(but))))
    others = {key: value for key, value in given.items() if key != name}
    way = draw(st.sampled_from(["name", "value", "less", "more"]))
    if way == "name":
        new = edited(draw, name)
        assume(new not in given and new not in but)
        return others | {new: given[name]}
    if way == "value":
        return others | {name: edited(draw, given[name])}
    if way == "less":
        return others
    new = draw(st.text(min_size=1, max_size=8))
    assume(new not in given and new not in but)
    return {**given, new: draw(st.text(max_size=8))}


def another_verb(draw: Draw, signed: SignedRequest) -> dict[str, Any]:
    verb = draw(st.sampled_from(["GET", "POST", "PUT", "HEAD", "DELETE", ""]) | st.text(max_size=4))
    assume(verb.upper() != signed.verb)
    return {"verb": verb}


def another_path(draw: Draw, signed: SignedRequest) -> dict[str, Any]:
    path = edited(draw, signed.path)
    segments = [one for one in path.split("/") if one not in ("", ".")]  # version 4 signs a path without these
    assume(segments != [one for one in signed.path.split("/") if one] or not path.endswith("/"))
    return {"path": path}


def another_host(draw: Draw, signed: SignedRequest) -> dict[str, Any]:
    host = edited(draw, signed.host)
    assume(" ".join(host.split()).lower() != signed.host)
    return {"host": host, "headers": {**signed.headers, "Host": host}}


def other_parameters(draw: Draw, signed: SignedRequest) -> dict[str, Any]:
    """Of a POST that is signed in a header the body stands for them."""
    if signed.is_signed_by_header and signed.verb == "POST":
        digest = draw(st.binary(min_size=32, max_size=32)).hex()
        return {"body_hash": digest}
    return {"params": with_one_edited(draw, signed.params, but=("Signature", "X-Amz-Signature"))}


def another_signature(draw: Draw, signed: SignedRequest) -> dict[str, Any]:
    return {"signature": edited(draw, signed.signature)}


def another_key(draw: Draw, signed: SignedRequest) -> dict[str, Any]:
    return {"access": edited(draw, signed.access)}


def another_date(draw: Draw, signed: SignedRequest) -> dict[str, Any]:
    if signed.is_signed_by_header:
        return {"headers": {**signed.headers, "X-Amz-Date": edited(draw, signed.headers["X-Amz-Date"]).strip() + "x"}}
    name = "X-Amz-Date" if "X-Amz-Date" in signed.params else "Timestamp"
    return {"params": {**signed.params, name: edited(draw, signed.params[name])}}


def another_authorization(draw: Draw, signed: SignedRequest) -> dict[str, Any]:
    """Its scope, its list of headers, its key; the signature itself is another member."""
    if not signed.is_signed_by_header:
        names = ("X-Amz-Credential", "X-Amz-SignedHeaders", "X-Amz-Expires", "SignatureMethod", "AWSAccessKeyId")
        name = draw(st.sampled_from([one for one in names if one in signed.params]))
        return {"params": {**signed.params, name: edited(draw, signed.params[name])}}
    said, signature = signed.headers["Authorization"].rsplit(", Signature=", 1)
    head, tail = said.split("Credential=", 1)
    changed = edited(draw, tail)
    assume(parts_of(changed) != parts_of(tail))
    return {"headers": {**signed.headers, "Authorization": f"{head}Credential={changed}, Signature={signature}"}}


def parts_of(said: str) -> set[str]:
    """What counts of an authorization: white space around its parts, and parts with nothing in them, do not."""
    return {" ".join(part.split()) for part in said.split(",")} - {""}


def another_signed_header(draw: Draw, signed: SignedRequest) -> dict[str, Any]:
    """Missing, or with another value."""
    others = {name: value for name, value in signed.headers.items() if name != "X-Amz-Note"}
    if draw(st.booleans()):
        return {"headers": others}
    note = edited(draw, "a b")
    assume(note.split() != ["a", "b"])
    return {"headers": others | {"X-Amz-Note": note}}


CHANGES: Final = (
    another_verb,
    another_path,
    another_host,
    other_parameters,
    another_signature,
    another_key,
    another_date,
    another_authorization,
)
CASES: Final = [(name, change) for name in SIGNED for change in CHANGES] + [("signed_v4, GET", another_signed_header)]


@pytest.mark.parametrize(("name", "change"), CASES, ids=lambda one: getattr(one, "__name__", one))
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_nothing_of_a_signed_request_can_be_another(
    name: str, change: Callable[[Draw, SignedRequest], dict[str, Any]], data: st.DataObject
) -> None:
    signed = SIGNED[name]

    forged = msgspec.structs.replace(signed, **change(data.draw, signed))

    with pytest.raises(SignatureRefused):
        verify(forged, SECRET, NOW)


@pytest.mark.parametrize("name", SIGNED)
def test_what_nobody_changed_is_accepted(name: str) -> None:
    verify(SIGNED[name], SECRET, NOW)


TEXTS: Final = (
    st.text(max_size=80)
    | st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
    | st.binary(min_size=32, max_size=32).map(lambda raw: base64.b64encode(raw).decode())
)


@given(name=st.sampled_from(sorted(SIGNED)), signature=TEXTS)
def test_a_made_up_signature_is_never_accepted(name: str, signature: str) -> None:
    assume(signature != SIGNED[name].signature)

    with pytest.raises(SignatureRefused):
        verify(msgspec.structs.replace(SIGNED[name], signature=signature), SECRET, NOW)


NAMES: Final = st.sampled_from(
    sorted({name for request in SIGNED.values() for name in (*request.params, *request.headers)})
)
VALUES: Final = st.text(max_size=20) | st.sampled_from(
    ["2", "HmacSHA256", "AWS4-HMAC-SHA256", "20260102T030405Z", "host"]
)
ANYTHING: Final = st.builds(
    SignedRequest,
    access=VALUES,
    signature=VALUES,
    verb=VALUES,
    host=VALUES,
    path=VALUES,
    body_hash=VALUES,
    params=st.dictionaries(NAMES, VALUES),
    headers=st.dictionaries(NAMES, VALUES),
)


@given(made=ANYTHING)
def test_anything_at_all_is_refused_and_never_breaks(made: SignedRequest) -> None:
    with pytest.raises(SignatureRefused):
        verify(made, SECRET, NOW)
