"""Our frames against pamqp's: each side reads what the other wrote."""

import struct
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands as spec
from pamqp import frame as pamqp_frame
from pamqp.base import Frame
from pamqp.body import ContentBody
from pamqp.constants import FRAME_END
from pamqp.header import ContentHeader

from rpc import frames

FRAME_MAX = 64
METHOD = frames.route(1, "nova", "key", mandatory=False)
CHANNELS = st.integers(1, 65535)
TAGS = st.integers(1, 2**63 - 1)
SHORT = st.text(max_size=60)
OURS = st.dictionaries(SHORT, st.text(max_size=20) | st.integers(-(2**63), 2**63 - 1), max_size=4)
# Numbers as small as pamqp writes them, then everything else that AMQP has and pamqp can write.
VALUES = st.recursive(
    st.text(max_size=10)
    | st.integers(-(2**63), 2**63 - 1)
    | st.booleans()
    | st.none()
    | st.floats(width=32, allow_nan=False)
    | st.decimals(0, 10_000, places=3)
    | st.integers(0, 2**32 - 1).map(lambda at: datetime.fromtimestamp(at, UTC))
    | st.binary(max_size=10).map(bytearray),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SHORT, inner, max_size=3),
    max_leaves=8,
)
TABLES = st.dictionaries(SHORT, VALUES, max_size=5)


def parsed(data: bytes) -> list[tuple[int, Any]]:
    """Channel and frame of all that pamqp reads in these bytes."""
    found = []
    while data:
        size, channel, frame = pamqp_frame.unmarshal(data)
        found.append((channel, frame))
        data = data[size:]
    return found


def methods(data: bytes) -> list[tuple[int, str, dict[str, object]]]:
    return [(channel, frame.name, dict(frame)) for channel, frame in parsed(data)]


def properties_of(body_size: int = 0, **values: Any) -> bytes:
    """A content's properties as pamqp writes them, flags first."""
    return ContentHeader(0, body_size, spec.Basic.Properties(**values)).marshal()[12:]


@given(CHANNELS, SHORT, SHORT, st.booleans())
def test_a_route_is_a_publish(channel: int, exchange: str, key: str, mandatory: bool) -> None:
    ours = frames.route(channel, exchange, key, mandatory=mandatory)

    ((number, publish),) = parsed(ours)
    assert number == channel
    assert (publish.exchange, publish.routing_key) == (exchange, key)
    assert (publish.mandatory, publish.immediate) == (mandatory, False)


@given(
    channel=CHANNELS,
    size=st.integers(0, 3 * FRAME_MAX),
    headers=OURS,
    persistent=st.booleans(),
    ttl=st.none() | st.floats(-10.0, 1e8) | st.floats(0.0, 0.01),
    message_id=st.text(alphabet="abc123", max_size=255),
)
def test_a_message_is_read_as_it_was_meant(
    channel: int,
    size: int,
    headers: Mapping[str, str | int],
    persistent: bool,
    ttl: float | None,
    message_id: str,
) -> None:
    body = bytes(number % 251 for number in range(size))

    method = frames.route(channel, "nova", "key", mandatory=True)

    data = frames.message(method, channel, body, headers, persistent, ttl, message_id.encode(), FRAME_MAX)

    (_, publish), (_, header), *bodies = parsed(data)
    assert {number for number, _ in parsed(data)} == {channel}
    assert (publish.exchange, publish.routing_key) == ("nova", "key")
    assert header.body_size == size
    assert b"".join(piece.value for _, piece in bodies) == body
    assert all(0 < len(piece.value) <= FRAME_MAX - frames.OVERHEAD for _, piece in bodies)
    told = header.properties
    assert (told.content_type, told.content_encoding) == ("application/json", "utf-8")
    assert (told.headers or {}) == headers
    assert told.delivery_mode == (2 if persistent else 1)
    assert told.expiration == (None if ttl is None else str(frames.milliseconds(ttl)))
    assert (told.message_id or "") == message_id


@pytest.mark.parametrize(
    "body_size", [0, 1, FRAME_MAX - 8, FRAME_MAX - 7, 2 * (FRAME_MAX - 8), 2 * (FRAME_MAX - 8) + 1]
)
def test_a_body_fills_its_frames_exactly(body_size: int) -> None:
    data = frames.message(METHOD, 1, b"x" * body_size, {}, False, None, b"", FRAME_MAX)

    sizes = [len(frame.value) for _, frame in parsed(data) if isinstance(frame, ContentBody)]
    assert sizes == [FRAME_MAX - 8] * (body_size // (FRAME_MAX - 8)) + [body_size % (FRAME_MAX - 8)] * bool(
        body_size % (FRAME_MAX - 8)
    )


@given(CHANNELS, TAGS, st.booleans())
def test_settlements_are_read_as_they_were_meant(channel: int, tag: int, multiple: bool) -> None:
    assert methods(frames.ack(channel, tag, multiple=multiple) + frames.nack(channel, tag)) == [
        (channel, "Basic.Ack", {"delivery_tag": tag, "multiple": multiple}),
        (channel, "Basic.Nack", {"delivery_tag": tag, "multiple": False, "requeue": True}),
    ]


def marshalled(frame: Frame, channel: int = 7) -> bytes:
    return pamqp_frame.marshal(frame, channel)


@pytest.mark.parametrize(
    ("start", "frame"),
    [
        (frames.RETURN, spec.Basic.Return(312, "NO_ROUTE", "e", "k")),
        (frames.DELIVER, spec.Basic.Deliver("tag", 1, False, "e", "k")),
        (frames.ACK, spec.Basic.Ack(1)),
        (frames.NACK, spec.Basic.Nack(1)),
        (frames.BLOCKED, spec.Connection.Blocked("low on memory")),
        (frames.UNBLOCKED, spec.Connection.Unblocked()),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_methods_are_known_by_their_first_bytes(start: bytes, frame: Frame) -> None:
    data = marshalled(frame)

    assert frames.frame_at(data, 0) == (frames.METHOD, 7, len(data) - frames.OVERHEAD)
    assert data[7:11] == start
    assert data[-1:] == frames.END == bytes([FRAME_END])


def test_a_heartbeat_is_one() -> None:
    assert parsed(frames.HEARTBEAT)[0][1].name == "Heartbeat"


@given(table=TABLES, others=st.booleans(), message_id=st.text(max_size=60))
def test_header_tables_of_every_type_are_read_as_pamqp_reads_them(
    table: dict[str, Any], others: bool, message_id: str
) -> None:
    values: dict[str, Any] = {"headers": table, "message_id": message_id}
    if others:
        values |= {
            "content_type": "text/plain",
            "content_encoding": "latin-1",
            "delivery_mode": 2,
            "priority": 9,
            "correlation_id": "ü" * 100,
            "reply_to": "reply_1",
            "expiration": "60000",
            "timestamp": datetime(2014, 4, 17, tzinfo=UTC),
            "message_type": "t",
            "user_id": "u",
            "app_id": "a",
        }
    properties = properties_of(**values)
    read = ContentHeader()
    read.unmarshal(b"\x00\x3c\x00\x00" + bytes(8) + properties)

    assert frames.headers_of(properties) == (read.properties.headers or {})
    assert frames.message_id_of(properties) == message_id.encode()


def test_every_type_of_amqp_is_read() -> None:
    values = {
        b"t": b"\x01", b"b": b"\xff", b"B": b"\xff", b"s": b"\xff\xfe", b"u": b"\xff\xfe", b"I": b"\xff" * 4, b"i": b"\xff" * 4,
        b"l": b"\xff" * 8, b"L": b"\x7f" * 8, b"f": struct.pack(">f", 0.5), b"d": struct.pack(">d", 0.5), b"D": b"\x02\x00\x00\x00\x7b",
        b"S": b"\x00\x00\x00\x02hi", b"A": b"\x00\x00\x00\x02t\x01", b"T": struct.pack(">Q", 86400), b"F": b"\x00\x00\x00\x04\x01kt\x00",
        b"V": b"", b"x": b"\x00\x00\x00\x01\xff",
    }  # fmt: skip
    table = b"".join(b"\x01" + kind + kind + value for kind, value in values.items())

    got = frames.headers_of(b"\x20\x00" + struct.pack(">I", len(table)) + table)

    assert got == {
        "t": True, "b": -1, "B": 255, "s": -2, "u": 65534, "I": -1, "i": 2**32 - 1,
        "l": -1, "L": 0x7F7F7F7F7F7F7F7F, "f": 0.5, "d": 0.5, "D": Decimal("1.23"),
        "S": "hi", "A": [True], "T": datetime(1970, 1, 2, tzinfo=UTC), "F": {"k": False},
        "V": None, "x": bytearray(b"\xff"),
    }  # fmt: skip


@given(headers=OURS, message_id=st.binary(max_size=255), persistent=st.booleans())
def test_what_we_write_we_read(headers: dict[str, str | int], message_id: bytes, persistent: bool) -> None:
    data = frames.message(METHOD, 1, b"", headers, persistent, 5.0, message_id, FRAME_MAX)

    properties = data[len(METHOD) + 7 + 12 : -1]

    assert frames.headers_of(properties) == headers
    assert frames.message_id_of(properties) == message_id


def test_a_message_without_properties_has_none() -> None:
    assert frames.headers_of(b"\x00\x00") == {}
    assert frames.message_id_of(b"\x00\x00") == b""


def test_names_and_texts_that_are_no_utf_8_are_read_as_far_as_they_can_be() -> None:
    table = b"\x01\xffS\x00\x00\x00\x03a\xffb"

    assert frames.headers_of(b"\x20\x00" + struct.pack(">I", len(table)) + table) == {"\ufffd": "a\ufffdb"}


@given(TABLES, st.data())
def test_cut_or_broken_properties_are_unreadable_and_no_worse(table: dict[str, Any], data: st.DataObject) -> None:
    whole = properties_of(headers=table, message_id="m" * 20, reply_to="r" * 20, content_type="t")
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    broken = bytearray(whole)
    broken[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))

    for properties in (cut, bytes(broken), data.draw(st.binary(max_size=40))):
        for read in (frames.headers_of, frames.message_id_of):
            with suppress(*frames.UNREADABLE):
                read(properties)


def nested(depth: int) -> bytes:
    table = b""
    for _ in range(depth):
        table = b"A" + struct.pack(">I", len(table)) + table
    return b"\x01k" + table


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(b"\x01k\x00\x01\xff\x00", id="a name that is no UTF-8, among others"),
        pytest.param(b"\x01k?", id="an unknown type"),
        pytest.param(b"\x01kT" + b"\xff" * 8, id="the end of time"),
        pytest.param(b"\x01kl\x00", id="half a number"),
        pytest.param(nested(20_000), id="arrays in arrays"),
    ],
)
def test_what_other_clients_may_send_is_unreadable_and_no_worse(table: bytes) -> None:
    with pytest.raises(frames.UNREADABLE):
        frames.headers_of(b"\x20\x00" + struct.pack(">I", len(table)) + table)


@pytest.mark.parametrize(
    ("ttl", "expected"), [(0.0, 1), (-5.0, 1), (0.0004, 1), (0.0019, 1), (1.5, 1500), (1e9, 2**32 - 1), (60.0, 60_000)]
)
def test_a_time_to_live_is_what_a_broker_takes(ttl: float, expected: int) -> None:
    _, (_, header) = parsed(frames.message(METHOD, 1, b"", {}, False, ttl, b"", FRAME_MAX))

    assert frames.milliseconds(ttl) == expected
    assert header.properties.expiration == str(expected)
