"""The broker's end of a Wire: frames as it sends them, made by pamqp, and a ledger as strict as RabbitMQ's of what it gets."""

import asyncio
from types import SimpleNamespace
from typing import Any, Final, cast

from aiormq.channel import Channel
from pamqp import commands as spec
from pamqp import frame as pamqp_frame
from pamqp.base import Frame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from rpc.amqp_wire import Wire

FRAME_MAX: Final = 64
OVERHEAD: Final = 8


class Socket(asyncio.Transport):
    """Keeps what is written to it, write by write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.limit = 0
        self.is_closed = False  # as uvloop's, which then take no write

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Note how much may wait here."""
        self.limit = high or 0

    def write(self, data: Any) -> None:
        """Keep it."""
        assert data, "a write of nothing"
        if self.is_closed:
            raise RuntimeError("the handler is closed")
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        """Never: the test loses the connection itself."""
        return False

    def taken(self) -> list[tuple[int, Any]]:
        """Channel and frame of all that was written since this was last asked."""
        data = b"".join(self.writes)
        self.writes.clear()
        return parsed(data)


def connected(heartbeat: float = 0.0) -> tuple[Wire, Socket]:
    """A wire and its socket."""
    wire, socket = Wire(asyncio.get_running_loop(), heartbeat), Socket()
    wire.connection_made(socket)
    return wire, socket


def channel(number: int) -> Channel:
    """As much of aiormq's channel as the hot path uses."""
    tune = SimpleNamespace(frame_max=FRAME_MAX)
    return cast("Channel", SimpleNamespace(number=number, connection=SimpleNamespace(connection_tune=tune)))


def parsed(data: bytes) -> list[tuple[int, Any]]:
    """Channel and frame of all in these bytes."""
    found = []
    while data:
        size, number, frame = pamqp_frame.unmarshal(data)
        found.append((number, frame))
        data = data[size:]
    return found


def sent(number: int, method: Frame) -> bytes:
    """One method on this channel."""
    return pamqp_frame.marshal(method, number)


def content(number: int, body: bytes, properties: spec.Basic.Properties) -> list[bytes]:
    """The frames of a message's content."""
    room = FRAME_MAX - OVERHEAD
    pieces = [ContentBody(body[start : start + room]) for start in range(0, len(body), room)]
    header = pamqp_frame.marshal(ContentHeader(0, len(body), properties), number)
    return [header, *(pamqp_frame.marshal(piece, number) for piece in pieces)]


def delivery(number: int, tag: int, body: bytes, *, consumer: str = "c", is_again: bool = False) -> list[bytes]:
    """The frames of a message to a consumer."""
    method = spec.Basic.Deliver(consumer, tag, is_again, "nova", "key")
    return [sent(number, method), *content(number, body, spec.Basic.Properties(headers={"n": "v"}, message_id="7"))]


def returned(number: int, message_id: str, body: bytes = b"") -> list[bytes]:
    """The frames of a message that no queue took."""
    method = spec.Basic.Return(312, "NO_ROUTE", "nova", "key")
    return [sent(number, method), *content(number, body, spec.Basic.Properties(message_id=message_id))]


class Ledger:
    """The deliveries of one channel that are open. RabbitMQ closes a channel that settles any other; here an assertion fails."""

    def __init__(self) -> None:
        self.open: set[int] = set()
        self.acked: set[int] = set()
        self.given_back: set[int] = set()
        self._last = 0

    def deliver(self) -> int:
        """The tag of the next delivery."""
        self._last += 1
        self.open.add(self._last)
        return self._last

    def settle(self, frames: list[tuple[int, Any]]) -> None:
        """Take what a channel says of its deliveries."""
        for _, frame in frames:
            tag = frame.delivery_tag
            assert tag in self.open, f"PRECONDITION_FAILED - unknown delivery tag {tag}"
            ended = {each for each in self.open if each <= tag} if frame.multiple else {tag}
            self.open -= ended
            if isinstance(frame, spec.Basic.Ack):
                self.acked |= ended
            else:
                assert isinstance(frame, spec.Basic.Nack)
                assert frame.requeue
                self.given_back |= ended
