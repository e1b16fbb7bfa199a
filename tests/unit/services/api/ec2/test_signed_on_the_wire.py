"""What clients sign comes through as it is on the wire, byte by byte; vectors of three signers."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from tests.support.ec2 import WAYS, Shape, signed_on_the_wire
from tests.support.ec2_gate import Gate, gate
from tests.support.identity import START
from tests.support.wire import on_the_wire

NOW: Final = START.replace(microsecond=0)
VECTORS: Final = msgspec.json.decode((Path("tests/data/ec2-signatures") / "boto.json").read_bytes())["requests"]
VERBS: Final = {"version 2": ("GET", "POST"), "version 4": ("GET", "POST"), "presigned": ("GET",)}
PATHS: Final = (
    "",
    "/",
    "/services/Cloud",
    "/services/Cloud/",
    "/services/%43loud",
    "/services/My%20Cloud~/",
    "/services/a%2Fb",
    "/services/a%2fb",
    "/services/%E9%9B%B2/",
    "/services/a+b;c=d,e@f:g!h$i'j(k)l*m&n",
    "/services//Cloud",
    "/services/./x/../Cloud/",
)
HOSTS: Final = {
    "a port": "http://cloud.example:8773",
    "no port": "http://cloud.example",
    "the default port": "http://cloud.example:80",
    "an address of version 6": "http://[2001:db8::7]:8773",
}


@pytest.fixture
async def opened() -> AsyncIterator[Gate]:
    async with gate(NOW) as gate_:
        yield gate_


@pytest.mark.parametrize(("way", "verb"), [(way, verb) for way in WAYS for verb in VERBS[way]])
@pytest.mark.parametrize("path", PATHS)
async def test_any_path_is_signed_as_it_is_sent(opened: Gate, path: str, verb: str, way: str) -> None:
    shape = Shape(verb, f"http://cloud.example:8773{path}", params={"Value.1": "a b+c~d*e/f é"})

    status, body, understood = await opened.send(on_the_wire(*signed_on_the_wire(shape, way, NOW)))

    assert (status, understood) == (200, (verb, "DescribeInstances", {"Value": ["a b+c~d*e/f é"]})), body


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
async def test_any_host_is_signed_as_clients_spell_it(opened: Gate, host: str, way: str) -> None:
    request = on_the_wire(*signed_on_the_wire(Shape("GET", f"{host}/services/Cloud"), way, NOW))

    assert (await opened.send(request))[0] == 200


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
async def test_what_boto_of_icehouses_day_sent_comes_through(opened: Gate, vector: dict[str, Any]) -> None:
    request = on_the_wire(vector["verb"], vector["target"], vector["headers"], vector["body"].encode())

    status, body, _ = await opened.send(request)

    assert status == 200, body


async def test_a_request_of_a_proxy_is_signed_over_the_path_alone(opened: Gate) -> None:
    verb, target, headers, body = signed_on_the_wire(Shape("GET"), "version 4", NOW)

    status, _, _ = await opened.send(on_the_wire(verb, f"http://cloud.example:8773{target}", headers, body))

    assert status == 200


async def test_a_header_that_is_no_text_takes_nothing_away_unless_it_was_signed(opened: Gate) -> None:
    plain = on_the_wire(*signed_on_the_wire(Shape("GET"), "version 4", NOW))
    noted = on_the_wire(*signed_on_the_wire(Shape("GET", headers={"X-Amz-Note": "NOTE"}), "version 4", NOW))

    unsigned = await opened.send(plain.replace(b"Connection:", b"X-Other: \xe9\xff\r\nConnection:"))
    signed = await opened.send(noted.replace(b"NOTE", b"\xe9\xff"))
    path = await opened.send(plain.replace(b"/services/", b"/\xe9\xff/"))

    assert [status for status, _, _ in (unsigned, signed)] == [200, 400]
    assert path[0] in (400, 403)


async def test_a_header_that_comes_twice_is_signed_with_both_values(opened: Gate) -> None:
    verb, target, headers, body = signed_on_the_wire(Shape("GET", headers={"X-Amz-Note": "a  b,c"}), "version 4", NOW)
    others = [(name, value) for name, value in headers if name != "X-Amz-Note"]

    twice = on_the_wire(verb, target, [*others, ("X-Amz-Note", " a b"), ("x-amz-note", "c")], body)
    added = on_the_wire(verb, target, [*headers, ("x-amz-note", "c")], body)

    assert [(await opened.send(request))[0] for request in (twice, added)] == [200, 403]


@pytest.mark.parametrize("way", WAYS)
async def test_times_are_bounded_on_both_sides(way: str) -> None:
    request = on_the_wire(*signed_on_the_wire(Shape("GET"), way, NOW))
    lasts = 3600 if way == "presigned" else 300
    found = {}

    for seconds in (-301, -300, lasts, lasts + 1):
        async with gate(NOW + timedelta(seconds=seconds)) as opened:
            status, body, _ = await opened.send(request)
            found[seconds] = status, "RequestExpired" in body

    assert found == {-301: (400, True), -300: (200, False), lasts: (200, False), lasts + 1: (400, True)}
