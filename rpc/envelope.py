"""The wire format: oslo.messaging's envelope 2.0, so that its clients and servers understand ours.

The body is JSON: `oslo.version` and `oslo.message`, the latter a string that is JSON again and holds the
method, its arguments and, for a call, where the answer goes (oslo_messaging/_drivers/common.py and amqpdriver.py).
What oslo.messaging does not know (trace position, deadline, retries) travels beside the body, in headers it ignores.

Everything here is pure. Decoding is strict: whatever does not say what it must raises BadMessage, which names what is wrong.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from rpc.errors import BadMessage

TRACEPARENT: Final = "traceparent"
DEADLINE: Final = "x-deadline"  # epoch milliseconds: AMQP clients send floats with 32 bits
RETRIES: Final = "x-retries"
REASON: Final = "x-reason"
ORIGIN: Final = "x-queue"

Headers = dict[str, str | int]


class Kind(StrEnum):
    """How a procedure is asked for."""

    CALL = "call"
    CAST = "cast"
    FANOUT = "fanout"


class Stage(StrEnum):
    """Where on its way a message is when a hook sees it."""

    PUBLISH = "publish"
    HANDLE = "handle"


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """One request on its way. `request` is the typed request; between decoding and dispatch it is raw JSON.

    `deadline` is in epoch seconds; `retries` counts earlier failed attempts at handling it.
    """

    kind: Kind
    stage: Stage
    topic: str
    method: str
    unique_id: str
    request: object
    host: str | None = None
    version: str = "1.0"
    msg_id: str | None = None
    reply_to: str | None = None
    traceparent: str | None = None
    deadline: float | None = None
    retries: int = 0

    @property
    def name(self) -> str:
        """What people call the procedure: `compute.build_and_run_instance`."""
        return f"{self.topic}.{self.method}"

    @property
    def headers(self) -> Headers:
        """What travels beside the body."""
        headers: Headers = {}
        if self.traceparent is not None:
            headers[TRACEPARENT] = self.traceparent
        if self.deadline is not None:
            headers[DEADLINE] = round(self.deadline * 1000)
        if self.retries:
            headers[RETRIES] = self.retries
        return headers


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to the call `msg_id`: a result (JSON), or a failure (JSON in a string, as oslo.messaging has it)."""

    msg_id: str = msgspec.field(name="_msg_id")
    unique_id: str = msgspec.field(name="_unique_id", default="")
    result: msgspec.Raw = msgspec.Raw(b"null")
    failure: str | None = None
    ending: bool = True


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a call failed. `code` and `kwargs` are for ErrorCodec; the rest is oslo.messaging's, without the traceback."""

    type_name: str = msgspec.field(name="class")
    message: str = ""
    module: str = ""
    code: str | None = None
    kwargs: dict[str, object] = {}
    tb: list[str] = []
    args: list[object] = []


class _Outer(msgspec.Struct, frozen=True):
    version: str = msgspec.field(name="oslo.version")
    message: str = msgspec.field(name="oslo.message")


class _Cast(msgspec.Struct, frozen=True, kw_only=True):
    method: str
    args: object
    version: str
    unique_id: str = msgspec.field(name="_unique_id")


class _Call(_Cast, frozen=True, kw_only=True):
    msg_id: str | None = msgspec.field(name="_msg_id")
    reply_to: str | None = msgspec.field(name="_reply_q")
    # oslo.messaging's call monitor; null asks the server for no heartbeats.
    monitor: float | None = msgspec.field(name="_timeout", default=None)


class _Inner(msgspec.Struct, frozen=True, kw_only=True):
    method: str
    args: msgspec.Raw
    version: str = "1.0"
    namespace: str | None = None
    unique_id: str = msgspec.field(name="_unique_id", default="")
    msg_id: str | None = msgspec.field(name="_msg_id", default=None)
    reply_to: str | None = msgspec.field(name="_reply_q", default=None)


_NAME_LIMIT: Final = 255  # bytes of a name on AMQP
_ENVELOPE_VERSION: Final = "2.0"
_encode: Final = msgspec.json.Encoder().encode
_decode_outer: Final = msgspec.json.Decoder(_Outer).decode
_decode_inner: Final = msgspec.json.Decoder(_Inner).decode
_decode_reply: Final = msgspec.json.Decoder(Reply).decode
_decode_failure: Final = msgspec.json.Decoder(Failure).decode
_decode_arguments: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def pack(envelope: Envelope, limit: int) -> bytes:
    """The body of a request; raises BadMessage when it is larger than `limit` bytes."""
    inner: _Cast
    if envelope.msg_id is None:
        inner = _Cast(
            method=envelope.method, args=envelope.request, version=envelope.version, unique_id=envelope.unique_id
        )
    else:
        inner = _Call(
            method=envelope.method,
            args=envelope.request,
            version=envelope.version,
            unique_id=envelope.unique_id,
            msg_id=envelope.msg_id,
            reply_to=envelope.reply_to,
        )
    return _wrap(_encode(inner), limit)


def unpack(
    body: bytes, headers: Mapping[str, object], *, kind: Kind, topic: str, host: str | None, limit: int
) -> Envelope:
    """Read a request that came for `topic`; its arguments stay raw. A request that wants an answer is a call.

    Raises BadMessage.
    """
    try:
        inner = _decode_inner(_unwrap(body, limit))
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadMessage(f"oslo.message: {error}") from error
    if inner.namespace is not None:
        raise BadMessage(f"namespace {inner.namespace[:100]!r} is not served")
    if (inner.msg_id is None) != (inner.reply_to is None):
        raise BadMessage("_msg_id and _reply_q come together or not at all")
    if len((inner.reply_to or "").encode()) > _NAME_LIMIT:
        raise BadMessage("_reply_q is longer than a queue's name can be")
    return Envelope(
        kind=kind if inner.msg_id is None else Kind.CALL,
        stage=Stage.HANDLE,
        topic=topic,
        host=host,
        method=inner.method,
        version=inner.version,
        unique_id=inner.unique_id,
        request=inner.args,
        msg_id=inner.msg_id,
        reply_to=inner.reply_to,
        traceparent=_text(headers.get(TRACEPARENT)),
        deadline=_deadline(headers.get(DEADLINE)),
        retries=_count(headers.get(RETRIES)),
    )


def arguments(raw: object) -> dict[str, msgspec.Raw]:
    """The names of a request's arguments, their values raw; raises BadMessage when they are no object."""
    try:
        return _decode_arguments(raw)  # type: ignore[arg-type]  # Raw is a buffer, which the stubs do not say
    except (msgspec.MsgspecError, RecursionError, TypeError) as error:
        raise BadMessage(f"args: {error}") from error


def pack_reply(msg_id: str, unique_id: str, *, result: object = None, failure: Failure | None, limit: int) -> bytes:
    """The body of an answer; raises BadMessage when it is too large, TypeError when `result` is not JSON."""
    reply = Reply(
        msg_id=msg_id,
        unique_id=unique_id,
        result=msgspec.Raw(_encode(result)),
        failure=None if failure is None else _encode(failure).decode(),
    )
    return _wrap(_encode(reply), limit)


def unpack_reply(body: bytes, limit: int) -> Reply:
    """Read an answer; raises BadMessage."""
    try:
        return _decode_reply(_unwrap(body, limit))
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadMessage(f"reply: {error}") from error


def unpack_failure(text: str) -> Failure:
    """Read why a call failed; raises BadMessage."""
    try:
        return _decode_failure(text)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadMessage(f"failure: {error}") from error


def _wrap(inner: bytes, limit: int) -> bytes:
    body = _encode(_Outer(version=_ENVELOPE_VERSION, message=inner.decode()))
    if len(body) > limit:
        raise BadMessage(f"message of {len(body)} bytes; the limit is {limit}")
    return body


def _unwrap(body: bytes, limit: int) -> str:
    if len(body) > limit:
        raise BadMessage(f"message of {len(body)} bytes; the limit is {limit}")
    try:
        outer = _decode_outer(body)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadMessage(f"envelope: {error}") from error
    if outer.version.partition(".")[0] != "2":
        raise BadMessage(f"oslo.version is {outer.version[:20]!r}; only 2.x is understood")
    return outer.message


def _text(value: object) -> str | None:
    # A broken trace position costs the trace, never the message.
    return value if isinstance(value, str) and len(value) <= _NAME_LIMIT else None


def _deadline(value: object) -> float | None:
    return None if value is None else _whole(DEADLINE, value) / 1000


def _count(value: object) -> int:
    return 0 if value is None else _whole(RETRIES, value)


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise BadMessage(f"header {name} is not a whole number")
    return value
