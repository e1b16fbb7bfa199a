import json
from collections.abc import Callable
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
    Reply,
    Request,
    Stage,
    arguments,
    check,
    context_of,
    deadline_of,
    encode,
    retries_of,
    splitter,
    trace_of,
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
ARGS = msgspec.Raw(b'{"text":"t","number":0}')


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    text: str
    number: int = 0


class User(msgspec.Struct, frozen=True, kw_only=True):
    user_id: str
    roles: tuple[str, ...] = ()


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    context: User | dict[str, int] | str | None
    number: int


class Nothing:
    """No JSON can be made of it."""


def split(ask: Asked) -> tuple[bytes, bytes | None]:
    apart = splitter(Asked)
    assert apart is not None
    return apart(ask)


def request(**changes: Any) -> Request:
    return msgspec.structs.replace(Request(method="do", args=ARGS, unique_id="u" * 32), **changes)


def wrapped(inner: object) -> bytes:
    return json.dumps({"oslo.version": "2.0", "oslo.message": json.dumps(inner)}).encode()


def inner_of(body: bytes) -> Any:
    return json.loads(json.loads(body)["oslo.message"])


def plain(raw: object) -> Any:
    return msgspec.json.decode(raw)  # type: ignore[call-overload]  # Raw is a buffer


@given(text=st.text(), version=st.text(), monitor=st.none() | st.floats(0, 1e9))
def test_what_is_packed_is_unpacked(text: str, version: str, monitor: float | None) -> None:
    args = msgspec.json.encode(Ask(text=text))
    sent = request(args=msgspec.Raw(args), version=version, msg_id="m" * 32, reply_to="reply_x", monitor=monitor)

    got = unpack(sent.pack(LIMIT), LIMIT)

    assert bytes(got.args) == args
    assert msgspec.structs.replace(got, args=sent.args, inner="") == sent


def test_the_body_is_oslo_messagings_envelope() -> None:
    call = json.loads(request(msg_id="m", reply_to="r", monitor=None).pack(LIMIT))
    cast = json.loads(request().pack(LIMIT))

    assert call["oslo.version"] == cast["oslo.version"] == "2.0"
    plain = {"method": "do", "args": {"text": "t", "number": 0}, "version": "1.0", "_unique_id": "u" * 32}
    assert json.loads(cast["oslo.message"]) == plain
    assert json.loads(call["oslo.message"]) == plain | {"_msg_id": "m", "_reply_q": "r", "_timeout": None}


def test_a_request_of_an_oslo_messaging_client_is_read() -> None:
    got = unpack(
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
        ),
        LIMIT,
    )

    assert (got.version, got.msg_id, got.reply_to, got.monitor) == ("1.0", "m1", "reply_1", None)
    assert plain(context_of(got)) == {"user_id": "u", "roles": ["admin"]}


def test_a_client_from_before_2018_knows_no_call_monitor() -> None:
    assert unpack(wrapped({"method": "do", "args": {}}), LIMIT).monitor is msgspec.UNSET


def test_a_context_travels_beside_the_arguments() -> None:
    ask = Asked(context=User(user_id="u", roles=("admin", "ü")), number=1)
    args, context = split(ask)
    assert context is not None
    sent = request(args=msgspec.Raw(args), context=msgspec.Raw(context))

    body = sent.pack(LIMIT)

    assert plain(args) == {"number": 1}
    assert inner_of(body)["_context_user_id"] == "u"
    assert inner_of(body)["_context_roles"] == ["admin", "ü"]
    assert plain(context_of(unpack(body, LIMIT))) == plain(context) == {"user_id": "u", "roles": ["admin", "ü"]}


@pytest.mark.parametrize("context", [None, {}, "user"], ids=str)
def test_a_context_without_keys_stays_among_the_arguments(context: Any) -> None:
    args, beside = split(Asked(context=context, number=1))

    got = unpack(request(args=msgspec.Raw(args)).pack(LIMIT), LIMIT)

    assert beside is None

    assert plain(got.args) == {"number": 1, "context": context}
    assert context_of(got) is None


def test_a_request_without_a_context_has_none() -> None:
    assert splitter(Ask) is None
    assert context_of(unpack(request().pack(LIMIT), LIMIT)) is None
    assert context_of(unpack(wrapped({"method": "_context_", "args": {}}), LIMIT)) is None


@given(st.dictionaries(st.text(), JSON, min_size=1, max_size=5))
def test_any_context_comes_back_as_it_went(context: dict[str, object]) -> None:
    raw = msgspec.json.encode(context)

    got = context_of(unpack(request(context=msgspec.Raw(raw)).pack(LIMIT), LIMIT))

    assert plain(got) == plain(raw)


def test_what_is_no_json_is_a_type_error() -> None:
    assert splitter(object) is None
    with pytest.raises(TypeError):
        encode(object())
    for ask in (Asked(context=Nothing(), number=1), Asked(context=User(user_id="u"), number=Nothing())):  # type: ignore[arg-type]  # as callers that nothing checks
        with pytest.raises(TypeError):
            split(ask)


@given(st.binary(max_size=200))
def test_no_bytes_whatever_do_more_than_raise_bad_message(body: bytes) -> None:
    with pytest.raises(BadMessage):
        unpack(body, LIMIT)
    with pytest.raises(BadMessage):
        unpack_reply(body, LIMIT)


@given(
    st.dictionaries(st.sampled_from(KEYS), JSON) | JSON,
    st.dictionaries(st.sampled_from([DEADLINE, RETRIES, TRACEPARENT]), JSON),
)
def test_no_message_whatever_does_more_than_raise_bad_message(inner: object, headers: dict[str, object]) -> None:
    with suppress(BadMessage):
        got = unpack(wrapped(inner), LIMIT)
        check(got)
        arguments(got.args)
        context_of(got)
        assert isinstance(inner, dict)
        assert isinstance(inner["method"], str)
        assert isinstance(inner["args"], dict)
    assert trace_of(headers) is None or isinstance(headers[TRACEPARENT], str)
    with suppress(BadMessage):
        assert retries_of(headers) >= 0
        deadline = deadline_of(headers)
        assert deadline is None or deadline >= 0


@pytest.mark.parametrize(
    ("inner", "why"),
    [
        ({"args": {}}, "missing required field `method`"),
        ({"method": "do"}, "missing required field `args`"),
        ({"method": 1, "args": {}}, r"Expected `str`, got `int` - at `\$.method`"),
        ({"method": "do", "args": {}, "namespace": 5}, r"Expected `str \| null`, got `int` - at `\$.namespace`"),
        ({"method": "do", "args": {}, "_msg_id": "m"}, "come together"),
        ({"method": "do", "args": {}, "_reply_q": "q"}, "come together"),
        ({"method": "do", "args": {}, "_msg_id": "m", "_reply_q": "q" * 256}, "_reply_q is longer"),
    ],
)
def test_a_bad_message_says_what_is_wrong(inner: object, why: str) -> None:
    with pytest.raises(BadMessage, match=why):
        check(unpack(wrapped(inner), LIMIT))


@pytest.mark.parametrize(
    ("read", "header", "value"),
    [
        (deadline_of, DEADLINE, "soon"),
        (deadline_of, DEADLINE, 1.5),
        (deadline_of, DEADLINE, True),
        (deadline_of, DEADLINE, 2**80),
        (retries_of, RETRIES, -1),
        (retries_of, RETRIES, b"1"),
    ],
)
def test_a_header_that_is_no_whole_number_is_named(
    read: Callable[[dict[str, object]], object], header: str, value: object
) -> None:
    with pytest.raises(BadMessage, match=header):
        read({header: value})


@pytest.mark.parametrize("traceparent", [7, b"00", "x" * 300])
def test_a_broken_trace_position_costs_the_trace_only(traceparent: object) -> None:
    assert trace_of({TRACEPARENT: traceparent}) is None


@given(deadline=st.none() | st.integers(0, 2**40), retries=st.integers(0, 100), trace=st.none() | st.just("00-a-b-01"))
def test_what_travels_beside_the_body_comes_back_as_it_went(
    deadline: int | None, retries: int, trace: str | None
) -> None:
    sent = Envelope(
        kind=Kind.CAST,
        stage=Stage.PUBLISH,
        topic="compute",
        method="do",
        unique_id="u",
        request=None,
        deadline=None if deadline is None else deadline / 1000,
        retries=retries,
        traceparent=trace,
    )

    headers = dict(sent.headers)

    assert (deadline_of(headers), retries_of(headers), trace_of(headers)) == (sent.deadline, retries, trace)
    assert sent.name == "compute.do"


def test_messages_over_the_limit_are_refused_on_both_sides() -> None:
    body = request().pack(LIMIT)

    assert unpack(body, len(body)).method == "do"
    for refused in (lambda: request().pack(len(body) - 1), lambda: unpack(body, len(body) - 1)):
        with pytest.raises(BadMessage, match=f"{len(body)} bytes; the limit is {len(body) - 1}"):
            refused()


@pytest.mark.parametrize("depth", [10_000, 200_000])
def test_deep_nesting_is_a_bad_message(depth: int) -> None:
    with pytest.raises(BadMessage):
        unpack(b"[" * depth, LIMIT)
    inner = '{"method": "do", "args": {"x": ' + "[" * depth + "]" * depth + "}}"
    with pytest.raises(BadMessage):
        arguments(unpack(json.dumps({"oslo.version": "2.0", "oslo.message": inner}).encode(), LIMIT).args)


@given(st.none() | JSON)
def test_an_answer_comes_back_as_it_went(result: object) -> None:
    raw = msgspec.json.encode({"x": result})

    reply = unpack_reply(Reply(msg_id="m", unique_id="u", result=msgspec.Raw(raw)).pack(LIMIT), LIMIT)

    assert (reply.msg_id, reply.unique_id, reply.failure, reply.ending) == ("m", "u", None, True)
    assert plain(reply.result) == plain(raw)


def test_an_answer_for_an_old_client_does_not_speak_of_its_ending() -> None:
    old = inner_of(Reply(msg_id="m", unique_id="u", ending=msgspec.UNSET).pack(LIMIT))
    alive = inner_of(Reply(msg_id="m", unique_id="u", ending=False).pack(LIMIT))

    assert "ending" not in old
    assert alive["ending"] is False


def test_an_answer_over_the_limit_is_refused() -> None:
    with pytest.raises(BadMessage, match="the limit is 100"):
        Reply(msg_id="m" * 100).pack(100)


def test_a_failure_comes_back_as_it_went() -> None:
    failure = Failure(type_name="NotFound", module="m", message="gone", code="not_found", kwargs={"key": "k"})

    reply = unpack_reply(Reply(msg_id="m", unique_id="u", failure=encode(failure).decode()).pack(LIMIT), LIMIT)

    assert reply.failure is not None
    assert unpack_failure(reply.failure) == failure


def test_a_failure_of_an_oslo_messaging_server_is_read() -> None:
    text = '{"class": "NotFound", "module": "nova.exception", "message": "x", "tb": ["..."], "args": [], "kwargs": {}}'

    assert unpack_failure(text).type_name == "NotFound"
    with pytest.raises(BadMessage, match="failure: "):
        unpack_failure("[]")
