"""One end of the hot path as a test holds it: a channel on a wire, and what came of it."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from rpc.amqp_fast import FastChannel, FastPath
from rpc.amqp_wire import Wire
from rpc.envelope import Request
from rpc.transport import Assurance, Destination, Message
from tests.support.amqp_broker import channel, connected

Got = list[tuple[bytes, int, bool]]

CONFIRMED, PLAIN, CONSUMING = 1, 2, 3  # the channels of a path
LIMIT: Final = 10_000  # bytes of a body on it


class Receiver:
    """A channel of the hot path and what came of it; it `settles` what comes, unless the broker wants nothing settled."""

    def __init__(self, wire: Wire, number: int, *, settles: bool = True) -> None:
        self.got: Got = []
        self.properties: list[object] = []
        self.unrouted: list[str] = []
        self.failures: list[Exception | None] = []
        self.channel = FastChannel(
            wire, channel(number), fail=self.failures.append, unrouted=self.unrouted.append, settles=settles
        )
        self.channel.receivers[b"c"] = self._take

    def _take(self, properties: object, body: bytes, tag: int, is_again: bool) -> None:
        self.properties.append(properties)
        self.got.append((body, tag, is_again))


class Path:
    """All three channels of the hot path, and what came of it."""

    def __init__(self) -> None:
        self.lost: list[Exception | None] = []
        self.unrouted: list[str] = []
        self.declared: set[str] = set()
        self.asked: list[Destination] = []  # whose address was asked for
        self.wire, self.socket = connected()
        self.path = FastPath(
            self.wire,
            channel(CONFIRMED),
            channel(PLAIN),
            channel(CONSUMING),
            fail=self.lost.append,
            unrouted=self.unrouted.append,
            address=self._address,
            declared=self.declared,
            limit=LIMIT,
        )

    def _address(self, to: Destination) -> tuple[str, str]:
        self.asked.append(to)
        return (to.name, "") if to.is_fanout else ("nova", to.name)

    def sent(self) -> list[tuple[int, Any]]:
        """Channel and frame of all that went out since this was last asked."""
        self.path.flush()
        return self.socket.taken()


def message(assurance: Assurance = Assurance.CONFIRMED, *, content: Request | bytes = b"x", **more: Any) -> Message:
    """Something to publish."""
    return Message(content=content, headers={}, assurance=assurance, **more)


def publish(
    through: FastChannel | FastPath, sending: Message, *, mandatory: bool = True
) -> "asyncio.Future[None] | None":
    """Publish it; the future is its confirm."""
    return through.publish("nova", "key", sending, b"body", mandatory=mandatory)


def confirmed(through: FastChannel, count: int) -> "list[asyncio.Future[None]]":
    """The confirms of so many publishes."""
    found = [publish(through, message()) for _ in range(count)]
    return [confirm for confirm in found if confirm is not None]


def feed(wire: Wire, frames: Sequence[bytes]) -> None:
    """Have these frames come in at once."""
    wire.data_received(b"".join(frames))
