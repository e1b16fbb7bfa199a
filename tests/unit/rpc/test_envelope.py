import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpc.envelope import (
    DEADLINE,
    RETRIES,
    TRACEPARENT,
    Envelope,
    Failure,
    Kind,
    Stage,
    arguments,
    pack,
    pack_reply,
    unpack,
    unpack_failure,
    unpack_reply,
)
from rpc.errors import BadMessage

LIMIT = 1_000_000
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
KEYS = ["method", "args", "version", "namespace", "_unique_id", "_msg_id", "_reply_q", "_timeout", "_context_user_id"]


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    text: str
    number: int = 0


def envelope(**changes: Any) -> Envelope:
    plain = Envelope(
        kind=Kind.CAST, stage=Stage.PUBLISH, topic="compute", method="do", unique_id="u" * 32, request=Ask(text="t")
    )
    return msgspec.structs.replace(plain, **changes)


def read(body: bytes, headers: dict[str, object] | None = None, *, limit: int = LIMIT) -> Envelope:
    return unpack(body, headers or {}, kind=Kind.CAST, topic="compute", host=None, limit=limit)


def wrapped(inner: object) -> bytes:
    return json.dumps({"oslo.version": "2.0", "oslo.message": json.dumps(inner)}).encode()


@given(text=st.text(), deadline=st.none() | st.integers(0, 2**40), retries=st.integers(0, 100))
def test_what_is_packed_is_unpacked(text: str, deadline: int | None, retries: int) -> None:
    sent = envelope(
        request=Ask(text=text),
        msg_id="m" * 32,
        reply_to="reply_x",
        deadline=None if deadline is None else deadline / 1000,
        retries=retries,
        traceparent="00-a-b-01",
    )

    got = read(pack(sent, LIMIT), dict(sent.headers))

    assert msgspec.json.decode(got.request, type=Ask) == Ask(text=text)  # type: ignore[call-overload]  # Raw is a buffer
    assert got == msgspec.structs.replace(sent, kind=Kind.CALL, stage=Stage.HANDLE, request=got.request)


def test_the_body_is_oslo_messagings_envelope() -> None:
    call = json.loads(pack(envelope(msg_id="m", reply_to="r"), LIMIT))
    cast = json.loads(pack(envelope(), LIMIT))

    assert call["oslo.version"] == cast["oslo.version"] == "2.0"
    plain = {"method": "do", "args": {"text": "t", "number": 0}, "version": "1.0", "_unique_id": "u" * 32}
    assert json.loads(cast["oslo.message"]) == plain
    assert json.loads(call["oslo.message"]) == plain | {"_msg_id": "m", "_reply_q": "r", "_timeout": None}


def test_a_request_of_an_oslo_messaging_client_is_read() -> None:
    got = read(
        wrapped(
            {
                "method": "do",
                "args": {"text": "x"},
                "_context_user_id": "u",
                "_context_roles": ["admin"],
                "_msg_id": "m1",
                "_reply_q": "reply_1",
                "_timeout": None,
                "_unique_id": "u1",
            }
        )
    )

    assert (got.kind, got.version, got.msg_id, got.reply_to) == (Kind.CALL, "1.0", "m1", "reply_1")


@given(st.binary(max_size=200))
def test_no_bytes_whatever_do_more_than_raise_bad_message(body: bytes) -> None:
    with pytest.raises(BadMessage):
        read(body)
    with pytest.raises(BadMessage):
        unpack_reply(body, LIMIT)


@given(
    st.dictionaries(st.sampled_from(KEYS), JSON) | JSON,
    st.dictionaries(st.sampled_from([DEADLINE, RETRIES, TRACEPARENT]), JSON),
)
def test_no_message_whatever_does_more_than_raise_bad_message(inner: object, headers: dict[str, object]) -> None:
    with suppress(BadMessage):
        arguments(read(wrapped(inner), headers).request)
        assert isinstance(inner, dict)
        assert isinstance(inner["method"], str)
        assert isinstance(inner["args"], dict)


@pytest.mark.parametrize(
    ("inner", "why"),
    [
        ({"args": {}}, "missing required field `method`"),
        ({"method": "do"}, "missing required field `args`"),
        ({"method": 1, "args": {}}, r"Expected `str`, got `int` - at `\$.method`"),
        ({"method": "do", "args": {}, "namespace": "other"}, "namespace 'other' is not served"),
        ({"method": "do", "args": {}, "_msg_id": "m"}, "come together"),
        ({"method": "do", "args": {}, "_msg_id": "m", "_reply_q": "q" * 256}, "_reply_q is longer"),
    ],
)
def test_a_bad_message_says_what_is_wrong(inner: object, why: str) -> None:
    with pytest.raises(BadMessage, match=why):
        read(wrapped(inner))


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({DEADLINE: "soon"}, DEADLINE),
        ({DEADLINE: 1.5}, DEADLINE),
        ({DEADLINE: True}, DEADLINE),
        ({DEADLINE: 2**80}, DEADLINE),
        ({RETRIES: -1}, RETRIES),
    ],
)
def test_a_header_that_is_no_whole_number_is_named(headers: dict[str, object], why: str) -> None:
    with pytest.raises(BadMessage, match=why):
        read(pack(envelope(), LIMIT), headers)


@pytest.mark.parametrize("traceparent", [7, b"00", "x" * 300])
def test_a_broken_trace_position_costs_the_trace_only(traceparent: object) -> None:
    assert read(pack(envelope(), LIMIT), {TRACEPARENT: traceparent}).traceparent is None


def test_messages_over_the_limit_are_refused_on_both_sides() -> None:
    body = pack(envelope(), LIMIT)

    assert read(body, limit=len(body)).method == "do"
    for refused in (lambda: pack(envelope(), len(body) - 1), lambda: read(body, limit=len(body) - 1)):
        with pytest.raises(BadMessage, match=f"{len(body)} bytes; the limit is {len(body) - 1}"):
            refused()


@pytest.mark.parametrize("depth", [10_000, 200_000])
def test_deep_nesting_is_a_bad_message(depth: int) -> None:
    with pytest.raises(BadMessage):
        read(b"[" * depth)
    inner = '{"method": "do", "args": {"x": ' + "[" * depth + "]" * depth + "}}"
    with pytest.raises(BadMessage):
        arguments(read(json.dumps({"oslo.version": "2.0", "oslo.message": inner}).encode()).request)


@given(st.none() | JSON)
def test_an_answer_comes_back_as_it_went(result: object) -> None:
    reply = unpack_reply(pack_reply("m", "u", result={"x": result}, failure=None, limit=LIMIT), LIMIT)

    assert (reply.msg_id, reply.failure, reply.ending) == ("m", None, True)
    assert msgspec.json.decode(reply.result) == msgspec.json.decode(msgspec.json.encode({"x": result}))


def test_a_failure_comes_back_as_it_went() -> None:
    failure = Failure(type_name="NotFound", module="m", message="gone", code="not_found", kwargs={"key": "k"})

    reply = unpack_reply(pack_reply("m", "u", failure=failure, limit=LIMIT), LIMIT)

    assert reply.failure is not None
    assert unpack_failure(reply.failure) == failure


def test_a_failure_of_an_oslo_messaging_server_is_read() -> None:
    text = '{"class": "NotFound", "module": "nova.exception", "message": "x", "tb": ["..."], "args": [], "kwargs": {}}'

    assert unpack_failure(text).type_name == "NotFound"
    with pytest.raises(BadMessage, match="failure: "):
        unpack_failure("[]")
