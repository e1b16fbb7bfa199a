"""The wire format: oslo.messaging's envelope 2.0, so that its clients and servers understand ours.

The body is JSON: `oslo.version` and `oslo.message`, the latter a string that is JSON again and holds the
method, its arguments and, for a call, where the answer goes (oslo_messaging/_drivers/common.py and amqpdriver.py).
A request's `context` travels beside its arguments as `_context_<key>`, as Nova's does. What oslo.messaging does not know
(trace position, deadline, retries) travels beside the body, in headers it ignores.

Everything here is pure. Decoding is strict: whatever does not say what it must raises BadMessage, which names what is wrong.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

import msgspec

from rpc.errors import BadMessage

TRACEPARENT: Final = "traceparent"
DEADLINE: Final = "x-deadline"  # epoch milliseconds: AMQP clients send floats with 32 bits
RETRIES: Final = "x-retries"
REASON: Final = "x-reason"
ORIGIN: Final = "x-queue"
DEAD_SINCE: Final = "x-dead-since"  # epoch milliseconds

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
    """One request on its way, as hooks see it: `request` is the typed request.

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


class Request(msgspec.Struct, kw_only=True):
    """What crosses of a request: names and raw JSON. Nobody can share an object through it.

    `context` is the raw JSON of the request's field of that name, if it has one; `inner` is the text of a request that was read;
    `weight` how many bytes of JSON it is, where it was made.
    `monitor` is oslo.messaging's call monitor: seconds within which the caller wants to hear that its call is worked on. Callers
    older than that (before 2018) do not know the key, and want their answer in two messages.
    """

    method: str
    args: msgspec.Raw
    version: str = "1.0"
    namespace: str | None = None
    unique_id: str = msgspec.field(name="_unique_id", default="")
    msg_id: str | None = msgspec.field(name="_msg_id", default=None)
    reply_to: str | None = msgspec.field(name="_reply_q", default=None)
    monitor: float | msgspec.UnsetType | None = msgspec.field(name="_timeout", default=msgspec.UNSET)
    # None of these has a name that could come from the wire.
    context: msgspec.Raw | None = msgspec.field(name=" context", default=None)
    inner: str = msgspec.field(name=" inner", default="")
    weight: int = msgspec.field(name=" weight", default=0)

    def pack(self, limit: int) -> bytes:
        """The body of this request; raises BadMessage when it is larger than `limit` bytes."""
        if self.msg_id is None:
            text = encode(_Cast(method=self.method, args=self.args, version=self.version, unique_id=self.unique_id))
        else:
            text = encode(
                _Call(
                    method=self.method,
                    args=self.args,
                    version=self.version,
                    unique_id=self.unique_id,
                    msg_id=self.msg_id,
                    reply_to=self.reply_to,
                    monitor=self.monitor,
                )
            )
        if self.context is not None:
            context = decode_members(self.context)
            text = text[:-1] + b"," + encode({_CONTEXT + key: value for key, value in context.items()})[1:]
        return wrap(text, limit)


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to the call `msg_id`: a result (JSON), or a failure (JSON in a string, as oslo.messaging has it)."""

    msg_id: str = msgspec.field(name="_msg_id")
    unique_id: str = msgspec.field(name="_unique_id", default="")
    result: msgspec.Raw = msgspec.Raw(b"null")
    failure: str | None = None
    ending: bool | msgspec.UnsetType = True

    def pack(self, limit: int) -> bytes:
        """The body of this answer; raises BadMessage when it is larger than `limit` bytes."""
        return wrap(encode(self), limit)


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
    args: msgspec.Raw
    version: str
    unique_id: str = msgspec.field(name="_unique_id")


class _Call(_Cast, frozen=True, kw_only=True):
    msg_id: str | None = msgspec.field(name="_msg_id")
    reply_to: str | None = msgspec.field(name="_reply_q")
    monitor: float | msgspec.UnsetType | None = msgspec.field(name="_timeout", default=None)


UNREADABLE: Final = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)  # what JSON that is none raises

_NAME_LIMIT: Final = 255  # bytes of a name on AMQP
_ENVELOPE_VERSION: Final = "2.0"
_CONTEXT: Final = "_context_"
encode: Final = msgspec.json.Encoder().encode
_decode_outer: Final = msgspec.json.Decoder(_Outer).decode
_decode_request: Final = msgspec.json.Decoder(Request).decode
_decode_reply: Final = msgspec.json.Decoder(Reply).decode
_decode_failure: Final = msgspec.json.Decoder(Failure).decode
decode_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def splitter(kind: type) -> Callable[[object], tuple[bytes, bytes | None]] | None:
    """What makes JSON of a request's arguments and of its context, for types of requests that have one."""
    fields = msgspec.structs.fields(kind) if issubclass(kind, msgspec.Struct) else ()
    if not any(field.name == "context" for field in fields):
        return None
    others = [(field.name, field.encode_name) for field in fields if field.name != "context"]

    def split(ask: object) -> tuple[bytes, bytes | None]:
        context = encode(getattr(ask, "context", None))
        if not context.startswith(b"{") or context == b"{}":
            return encode(ask), None  # nothing that has keys to travel by
        members = {name: getattr(ask, attribute) for attribute, name in others}
        return encode(members), context

    return split


def unpack(body: bytes, limit: int) -> Request:
    """Read a request; its arguments stay raw, its context stays in `inner`. Raises BadMessage."""
    text = _unwrap(body, limit)
    try:
        request = _decode_request(text)
    except UNREADABLE as error:
        raise BadMessage(f"oslo.message: {error}") from error
    request.context = None
    request.inner = text
    return request


def context_of(request: Request) -> bytes | None:
    """The raw JSON of a request's context, gathered from its `_context_<key>`; None without one."""
    if request.context is not None:
        return bytes(request.context)
    if _CONTEXT not in request.inner:
        return None
    members = decode_members(request.inner)
    own = {key.removeprefix(_CONTEXT): raw for key, raw in members.items() if key.startswith(_CONTEXT)}
    return encode(own) if own else None


def check(request: Request) -> None:
    """Raise BadMessage for a request that says of its answer what cannot be."""
    if (request.msg_id is None) != (request.reply_to is None):
        raise BadMessage("_msg_id and _reply_q come together or not at all")
    if request.reply_to is not None and len(request.reply_to.encode()) > _NAME_LIMIT:
        raise BadMessage("_reply_q is longer than a queue's name can be")


def arguments(raw: object) -> dict[str, msgspec.Raw]:
    """The names of a request's arguments, their values raw; raises BadMessage when they are no object."""
    try:
        return decode_members(raw)  # type: ignore[arg-type]  # Raw is a buffer, which the stubs do not say
    except (*UNREADABLE, TypeError) as error:
        raise BadMessage(f"args: {error}") from error


def unpack_reply(body: bytes, limit: int) -> Reply:
    """Read an answer; raises BadMessage."""
    try:
        return _decode_reply(_unwrap(body, limit))
    except UNREADABLE as error:
        raise BadMessage(f"reply: {error}") from error


def unpack_failure(text: str) -> Failure:
    """Read why a call failed; raises BadMessage."""
    try:
        return _decode_failure(text)
    except UNREADABLE as error:
        raise BadMessage(f"failure: {error}") from error


def trace_of(headers: Mapping[str, object]) -> str | None:
    """The position in a trace; a broken one costs the trace, never the message."""
    value = headers.get(TRACEPARENT)
    return value if isinstance(value, str) and len(value) <= _NAME_LIMIT else None


def deadline_of(headers: Mapping[str, object]) -> float | None:
    """Until when a message is worth handling, in epoch seconds; raises BadMessage."""
    value = headers.get(DEADLINE)
    return None if value is None else _whole(DEADLINE, value) / 1000


def retries_of(headers: Mapping[str, object]) -> int:
    """How often handling a message failed before; raises BadMessage."""
    value = headers.get(RETRIES)
    return 0 if value is None else _whole(RETRIES, value)


def wrap(inner: bytes, limit: int) -> bytes:
    """A message in its envelope; raises BadMessage when it is more than `limit` bytes."""
    body = encode(_Outer(version=_ENVELOPE_VERSION, message=inner.decode()))
    if len(body) > limit:
        raise BadMessage(f"message of {len(body)} bytes; the limit is {limit}")
    return body


def _unwrap(body: bytes, limit: int) -> str:
    if len(body) > limit:
        raise BadMessage(f"message of {len(body)} bytes; the limit is {limit}")
    try:
        outer = _decode_outer(body)
    except UNREADABLE as error:
        raise BadMessage(f"envelope: {error}") from error
    if outer.version != _ENVELOPE_VERSION and outer.version.partition(".")[0] != "2":
        raise BadMessage(f"oslo.version is {outer.version[:20]!r}; only 2.x is understood")
    return outer.message


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise BadMessage(f"header {name} is not a whole number")
    return value
