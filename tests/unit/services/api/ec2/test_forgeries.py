"""Requests that were signed and then changed on their way: whatever is let in is taken for exactly what was signed."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.ec2 import FORM, Shape, signed_on_the_wire
from tests.support.ec2_gate import Gate, Understood, gate
from tests.support.identity import START
from tests.support.wire import on_the_wire

NOW: Final = START.replace(microsecond=0)
ASKED: Final = {"Action": "StopInstances", "InstanceId.1": "i-00000001", "Filter.1.Name": "a;b&c=d e+f~g"}
SIGNED: Final = {
    f"{way}, {verb}": signed_on_the_wire(Shape(verb, params=ASKED), way, NOW)
    for way, verb in (
        ("version 2", "GET"),
        ("version 2", "POST"),
        ("version 4", "GET"),
        ("version 4", "POST"),
        ("presigned", "GET"),
    )
}
MEANT: Final = {"InstanceId": ["i-00000001"], "Filter": [{"Name": ASKED["Filter.1.Name"]}]}
WANTED: Final = "Action=TerminateInstances"
TRIED: Final = {
    "twice in the query": lambda target: f"{target}&{WANTED}" if "?" in target else f"{target}?{WANTED}",
    "first in the query": lambda target: target.replace("?", f"?{WANTED}&") if "?" in target else f"{target}?{WANTED}",
    "of another case": lambda target: target.replace("Action=", "Action=x&action=").replace(
        "StopInst", "TerminateInst"
    ),
    "behind a semicolon": lambda target: target.replace("StopInstances", "StopInstances;" + WANTED),
    "behind an encoded ampersand": lambda target: target.replace("StopInstances", "StopInstances%26" + WANTED),
    "behind a number sign": lambda target: target.replace("?", "?%23&") + f"#&{WANTED}",
    "in the path": lambda target: target.replace("/services", f"/;{WANTED}/services"),
    "an empty name": lambda target: target + "&=x" if "?" in target else target + "?=x",
    "parts of a value": lambda target: target.replace("InstanceId.1", "InstanceId.1.1"),
    "a number in other digits": lambda target: target.replace("InstanceId.1", "InstanceId.%D9%A1"),
    "a zero byte": lambda target: target.replace("StopInstances", "StopInstances%00"),
    "an empty fragment": lambda target: target + "#",
    "dots": lambda target: target.replace("/services/", "/services/./x/../"),
    "an encoded letter": lambda target: target.replace("/services", "/%73ervices"),
    "an encoded name": lambda target: target.replace("Action", "%41ction"),
}
ADDED: Final = [
    ("Host", "elsewhere.example"),
    ("Authorization", "AWS4-HMAC-SHA256 Credential=x/20260102/r/ec2/aws4_request,SignedHeaders=host,Signature=0"),
    ("X-Amz-Date", "20260102T030406Z"),
    ("Content-Type", "text/plain"),
    ("Content-Type", f"{FORM}; charset=utf-16"),
    ("Content-Encoding", "gzip"),
    ("X-Http-Method-Override", "POST"),
    ("X-Amz-Security-Token", "t"),
    ("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"),
    ("X-Original-Url", f"/?{WANTED}"),
]


@pytest.fixture(scope="module")
def opened() -> Iterator[tuple[asyncio.Runner, Gate]]:
    """For hypothesis, which knows no event loop."""
    with asyncio.Runner() as runner:
        running = gate(NOW)
        opened = runner.run(running.__aenter__())
        try:
            yield runner, opened
        finally:
            runner.run(running.__aexit__(None, None, None))


def let_in(opened: tuple[asyncio.Runner, Gate], request: bytes) -> Understood | None:
    """What the request is taken for if it is let in; never is anything broken by it."""
    runner, gate = opened
    status, body, understood = runner.run(gate.send(request))
    assert status != 500, body
    return understood


def meant(name: str) -> Understood:
    """What the request says that was signed."""
    return SIGNED[name][0], ASKED["Action"], MEANT


@pytest.mark.parametrize("name", SIGNED)
def test_what_is_not_changed_is_let_in(opened: tuple[asyncio.Runner, Gate], name: str) -> None:
    assert let_in(opened, on_the_wire(*SIGNED[name])) == meant(name)


@pytest.mark.parametrize("name", SIGNED)
@pytest.mark.parametrize("change", TRIED.values(), ids=TRIED)
def test_another_target_is_never_another_action(
    opened: tuple[asyncio.Runner, Gate], name: str, change: Callable[[str], str]
) -> None:
    verb, target, headers, body = SIGNED[name]

    assert let_in(opened, on_the_wire(verb, change(target), headers, body)) in (None, meant(name))


@pytest.mark.parametrize("name", SIGNED)
@pytest.mark.parametrize("header", ADDED, ids=lambda header: f"{header[0]} {header[1][:8]}")
@pytest.mark.parametrize("place", ["before", "after", "instead"])
def test_another_header_is_never_another_action(
    opened: tuple[asyncio.Runner, Gate], name: str, header: tuple[str, str], place: str
) -> None:
    verb, target, headers, body = SIGNED[name]
    others = [one for one in headers if one[0] != header[0] or place != "instead"]

    changed = [header, *others] if place == "before" else [*others, header]

    assert let_in(opened, on_the_wire(verb, target, changed, body)) in (None, meant(name))


@pytest.mark.parametrize("name", SIGNED)
def test_a_body_in_chunks_is_never_another_action(opened: tuple[asyncio.Runner, Gate], name: str) -> None:
    verb, target, headers, body = SIGNED[name]
    others = [one for one in headers if one[0] != "Content-Length"]
    chunked = [*others, ("Transfer-Encoding", "chunked")]
    whole = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    cut = b"%x\r\n%s\r\n0\r\n\r\n%s" % (len(body[:9]), body[:9], body[9:]) if body else b"0\r\n\r\n" + WANTED.encode()

    assert let_in(opened, on_the_wire(verb, target, chunked, whole)) == meant(name)
    assert let_in(opened, on_the_wire(verb, target, chunked, cut)) in (None, meant(name))
    assert let_in(opened, on_the_wire(verb, target, [*headers, chunked[-1]], whole)) in (None, meant(name))


@pytest.mark.parametrize("name", SIGNED)
@pytest.mark.parametrize("more", [WANTED, f"&{WANTED}", f"{WANTED}&"])
def test_a_query_and_a_body_are_never_mixed(opened: tuple[asyncio.Runner, Gate], name: str, more: str) -> None:
    verb, target, headers, body = SIGNED[name]
    others = [one for one in headers if one[0] not in ("Content-Type", "Content-Length")]
    path, _, query = target.partition("?")
    with_body = [*others, ("Content-Type", FORM)]

    def sent(verb: str, target: str, body: bytes) -> bytes:
        return on_the_wire(verb, target, [*with_body, ("Content-Length", str(len(body)))], body)

    tried = [
        sent(verb, target, body + more.encode()),
        sent(verb, target, more.encode() + body),
        sent("POST", target, more.encode()),
        sent("POST", path, f"{query}{more}".encode()),
        sent("POST", f"{path}?{more}", body or query.encode()),
        sent("GET", f"{path}?{body.decode()}{more}", b""),
    ]

    assert [let_in(opened, request) for request in tried] == [None] * len(tried)


@settings(max_examples=1000, deadline=None)
@given(
    name=st.sampled_from(sorted(SIGNED)),
    part=st.sampled_from(["verb", "target", "header", "value", "body"]),
    place=st.integers(0, 2000),
    new=st.sampled_from(["", "a", "0", "A", " ", "%", "%20", "+", "&", "=", ";", "?", "#", "/", ".", ",", "\t", "é"]),
    kept=st.booleans(),
)
def test_a_request_with_another_letter_anywhere_is_what_was_signed_or_is_refused(
    opened: tuple[asyncio.Runner, Gate], name: str, part: str, place: int, new: str, kept: bool
) -> None:
    verb, target, headers, body = SIGNED[name]

    def edited(text: str) -> str:
        at = place % (len(text) + 1)
        return text[:at] + new + text[at if kept else at + 1 :]

    number = place % len(headers)
    header, value = headers[number]
    if part == "header" and header != "Content-Length":
        headers = [*headers[:number], (edited(header), value), *headers[number + 1 :]]
    if part == "value" and header != "Content-Length":
        headers = [*headers[:number], (header, edited(value)), *headers[number + 1 :]]
    if part == "body":
        body = edited(body.decode()).encode()
        others = [one for one in headers if one[0] != "Content-Length"]
        headers = [*others, ("Content-Length", str(len(body)))] if body else others
    request = on_the_wire(
        edited(verb) if part == "verb" else verb, edited(target) if part == "target" else target, headers, body
    )

    assert let_in(opened, request) in (None, meant(name))
