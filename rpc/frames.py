"""The AMQP 0-9-1 frames of the hot path, to and from bytes: publish, deliver, return, ack and nack with their contents.

Everything else (connections, channels, declarations) is aiormq's. Pure; shapes from the specification's section 4.2
(https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf). What a frame costs here is what a message costs, so these functions
are written for speed: struct formats made once, prefixes per destination kept, headers read only as far as needed.
"""

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from pamqp import decode

METHOD: Final = 1
HEADER: Final = 2
BODY: Final = 3
OVERHEAD: Final = 8  # bytes of a frame that are not its payload
END: Final = b"\xce"
# What bytes raise that are no AMQP.
UNREADABLE: Final = (ValueError, IndexError, OverflowError, RecursionError, struct.error)
HEARTBEAT: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"

# Class and method of a method frame, as they stand in its first four bytes.
RETURN: Final = b"\x00\x3c\x00\x32"
DELIVER: Final = b"\x00\x3c\x00\x3c"
ACK: Final = b"\x00\x3c\x00\x50"
NACK: Final = b"\x00\x3c\x00\x78"
BLOCKED: Final = b"\x00\x0a\x00\x3c"
UNBLOCKED: Final = b"\x00\x0a\x00\x3d"

frame_at: Final = struct.Struct(">BHI").unpack_from  # type, channel, payload size
long_at: Final = struct.Struct(">Q").unpack_from
_frame: Final = struct.Struct(">BHI").pack
_settle: Final = struct.Struct(">BHIHHQBB").pack
_header: Final = struct.Struct(">BHIHHQH").pack
_long: Final = struct.Struct(">Q").pack
_size: Final = struct.Struct(">I").pack
_size_at: Final = struct.Struct(">I").unpack_from
_signed: Final = struct.Struct(">q").pack
_signed_at: Final = struct.Struct(">q").unpack_from

_CONTENT_TYPE: Final = 0x8000
_ENCODING: Final = 0x4000
_HEADERS: Final = 0x2000
_MODE: Final = 0x1000
_PRIORITY: Final = 0x0800
_CORRELATION: Final = 0x0400
_REPLY_TO: Final = 0x0200
_EXPIRATION: Final = 0x0100
_MESSAGE_ID: Final = 0x0080
_LONGEST_TTL: Final = 2**32 - 1  # milliseconds
_TEXT: Final = 0x53  # S, a text of any length
_WHOLE: Final = 0x6C  # l, 64 bits with a sign
_JSON: Final = b"\x10application/json\x05utf-8"


@lru_cache(maxsize=16384)
def route(channel: int, exchange: str, key: str, *, mandatory: bool) -> bytes:
    """The method frame of a publish to one destination."""
    payload = b"\x00\x3c\x00\x28\x00\x00%b%b%c" % (_short(exchange), _short(key), 1 if mandatory else 0)
    return b"%b%b\xce" % (_frame(METHOD, channel, len(payload)), payload)


def message(
    method: bytes,
    channel: int,
    body: bytes,
    headers: Mapping[str, str | int],
    persistent: bool,  # noqa: FBT001  # keywords cost
    ttl: float | None,
    message_id: bytes,
    frame_max: int,
) -> bytes:
    """A whole publish: the method frame that `route` made, the header frame, the body's. `message_id` has at most 255 bytes.

    `ttl` is in seconds; a broker wants it above zero, and closes the channel over one of more than 32 bits of milliseconds.
    """
    flags = _CONTENT_TYPE | _ENCODING | _MODE
    properties = _JSON
    if headers:
        flags |= _HEADERS
        properties += _table(headers)
    properties += b"\x02" if persistent else b"\x01"
    if ttl is not None:
        flags |= _EXPIRATION
        text = b"%d" % (min(int(ttl * 1000), _LONGEST_TTL) if ttl > 0.001 else 1)
        properties += b"%c%b" % (len(text), text)
    if message_id:
        flags |= _MESSAGE_ID
        properties += b"%c%b" % (len(message_id), message_id)
    size = len(body)
    head = _header(HEADER, channel, 14 + len(properties), 60, 0, size, flags)
    if 0 < size <= frame_max - OVERHEAD:
        return b"%b%b%b\xce%b%b\xce" % (method, head, properties, _frame(BODY, channel, size), body)
    parts = [method, head, properties, END]
    for start in range(0, size, frame_max - OVERHEAD):
        piece = body[start : start + frame_max - OVERHEAD]
        parts += (_frame(BODY, channel, len(piece)), piece, END)
    return b"".join(parts)


def milliseconds(ttl: float) -> int:
    """A time to live in seconds as a broker takes it: above zero, and below what closes the channel."""
    return min(max(int(ttl * 1000), 1), _LONGEST_TTL)


def ack(channel: int, tag: int, *, multiple: bool) -> bytes:
    """An acknowledgement; with `multiple` of everything up to this tag."""
    return _settle(METHOD, channel, 13, 60, 80, tag, multiple, 0xCE)


def nack(channel: int, tag: int) -> bytes:
    """Give one delivery back to its queue."""
    return _settle(METHOD, channel, 13, 60, 120, tag, 2, 0xCE)


def headers_of(properties: bytes) -> dict[str, object]:
    """The header table among a content's properties, flags first; raises UNREADABLE for what cannot be read.

    They come in this order: content type, encoding, headers, mode, priority, correlation id, reply to, expiration, message id.
    """
    flags = properties[0] << 8 | properties[1]
    if not flags & _HEADERS:
        return {}
    at = 2
    if flags & _CONTENT_TYPE:
        at += 1 + properties[at]
    if flags & _ENCODING:
        at += 1 + properties[at]
    size = _size_at(properties, at)[0]
    return _headers(properties, at + 4, at + 4 + size)


def message_id_of(properties: bytes) -> bytes:
    """The message id among a content's properties; empty without one."""
    flags = properties[0] << 8 | properties[1]
    at = 2
    for flag in (_CONTENT_TYPE, _ENCODING):
        if flags & flag:
            at += 1 + properties[at]
    if flags & _HEADERS:
        at += 4 + int(_size_at(properties, at)[0])
    for flag in (_MODE, _PRIORITY):
        if flags & flag:
            at += 1
    for flag in (_CORRELATION, _REPLY_TO, _EXPIRATION):
        if flags & flag:
            at += 1 + properties[at]
    if flags & _MESSAGE_ID:
        return properties[at + 1 : at + 1 + properties[at]]
    return b""


def _table(headers: Mapping[str, str | int]) -> bytes:
    if len(headers) == 1:
        (name,) = headers
        number = headers[name]
        if isinstance(number, int):  # a deadline alone: what a call has
            key = _name(name)
            return _lone(len(key) + 9, key, number)
    parts = []
    for name, value in headers.items():
        if isinstance(value, str):
            text = value.encode()
            parts.append(b"%bS%b%b" % (_name(name), _size(len(text)), text))
        else:
            parts.append(b"%bl%b" % (_name(name), _signed(value)))
    table = b"".join(parts)
    return _size(len(table)) + table


def _headers(data: bytes, at: int, end: int) -> dict[str, object]:
    """A header table at data[at:end]. Texts and whole numbers, which ours are, are read here; any other table by pamqp."""
    start = at
    found: dict[str, object] = {}
    while at < end:
        after = at + 1 + data[at]
        name = data[at + 1 : after].decode(errors="replace")
        kind = data[after]
        if kind == _TEXT:
            at = after + 5 + _size_at(data, after + 1)[0]
            found[name] = data[after + 5 : at].decode(errors="replace")
        elif kind == _WHOLE:
            found[name] = _signed_at(data, after + 1)[0]
            at = after + 9
        else:
            return dict(decode.field_table(data[start - 4 : end])[1])
    return found


def _lone(size: int, key: bytes, number: int) -> bytes:
    return b"%b%bl%b" % (_size(size), key, _signed(number))


@lru_cache(maxsize=64)
def _name(name: str) -> bytes:
    return _short(name)


def _short(text: str) -> bytes:
    encoded = text.encode()
    return b"%c%b" % (len(encoded), encoded)
