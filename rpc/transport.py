"""What the bus needs of a message broker. Two implementations pass one suite, tests/contract/test_bus_*.py.

A transport knows queues and bytes, nothing of procedures. It comes back by itself after a lost connection,
with its queues and consumers; whatever was delivered and not acknowledged is then delivered again.
"""

import asyncio
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from functools import lru_cache
from typing import Final, Protocol

import msgspec

from rpc.envelope import Headers, Reply, Request, unpack
from rpc.errors import Unroutable
from rpc.replies import Replies

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,199}")
_NAME_LIMIT: Final = 255  # bytes
_DEAD: Final = "dead"


class Role(StrEnum):
    """What a queue is for; it decides how messages get there and who declares it."""

    SHARED = "shared"  # any server of a topic takes the message
    HOST = "host"  # the one server of a topic on one host
    FANOUT = "fanout"  # every server of a topic
    REPLY = "reply"  # the process that called
    DEAD = "dead"  # people, who look at what could not be handled


@dataclass(frozen=True, slots=True)
class Destination:
    """Where messages go. `name` is the queue's, or for FANOUT the exchange's."""

    role: Role
    name: str
    topic: str = ""
    host: str | None = None
    is_fanout: bool = field(init=False, repr=False)  # does everybody hear what goes there?
    is_known: bool = field(init=False, repr=False)  # is it its consumer's to declare, or nobody's?

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_fanout", self.role is Role.FANOUT)
        object.__setattr__(self, "is_known", self.role in (Role.HOST, Role.REPLY))


@lru_cache(maxsize=65536)
def destination(topic: str, host: str | None = None) -> Destination:
    """The shared queue of a topic, or the queue of its server on one host; raises Unroutable for names no queue can have."""
    for part in (topic,) if host is None else (topic, host):
        if not _NAME.fullmatch(part):
            raise Unroutable(f"no queue can be named for {part[:64]!r}")
    if host is None:
        return Destination(Role.SHARED, topic, topic)
    if host == _DEAD:
        raise Unroutable(f"{topic}.{host} is the dead-letter queue, not a host's")
    if len(topic) + 1 + len(host) > _NAME_LIMIT:
        raise Unroutable(f"no queue can be named for {topic[:64]!r} and {host[:64]!r}: together they are too long")
    return Destination(Role.HOST, f"{topic}.{host}", topic, host)


@lru_cache(maxsize=256)
def everyone(topic: str) -> Destination:
    """Every server of a topic."""
    return Destination(Role.FANOUT, f"{destination(topic).topic}_fanout", topic)


@lru_cache(maxsize=256)
def dead_letters(topic: str) -> Destination:
    """Where messages for `topic` end that cannot be handled."""
    return Destination(Role.DEAD, f"{destination(topic).topic}.{_DEAD}", topic)


@lru_cache(maxsize=4096)
def reply_queue(name: str) -> Destination:
    """The queue that a caller named for its answer."""
    return Destination(Role.REPLY, name)


class Assurance(Enum):
    """What publishing promises when it returns."""

    NONE = "nothing"
    ROUTED = "somebody hears of it if no queue takes the message: the pending call, which fails with Unroutable"
    CONFIRMED = "the broker has the message, or publishing raises"


class Message(msgspec.Struct, kw_only=True):
    """What is published: a request, a reply, or bytes as they came. `ttl` is in seconds; the message is dropped if it waits longer."""

    content: Request | Reply | bytes
    headers: Headers
    assurance: Assurance = Assurance.NONE
    persistent: bool = False
    ttl: float | None = None


class Delivery(msgspec.Struct, kw_only=True):
    """What is consumed, and from where. `redelivered` means somebody may have seen it before."""

    source: Destination
    content: Request | Reply | bytes
    headers: Mapping[str, object]
    redelivered: bool
    origin: "Origin"
    tag: int

    @property
    def body(self) -> bytes:
        """The message's bytes, whatever their number."""
        return body_of(self.content, sys.maxsize)

    def request(self, limit: int) -> Request:
        """The message as a request; raises BadMessage."""
        content = self.content
        return content if isinstance(content, Request) else unpack(body_of(content, sys.maxsize), limit)

    def ack(self) -> None:
        """The message is dealt with. Without effect once the connection that delivered it is gone."""
        self.origin.ack(self.tag)

    def nack(self) -> None:
        """Give the message back to its queue. Without effect once the connection that delivered it is gone."""
        self.origin.nack(self.tag)


class Origin(Protocol):
    """Where a delivery came from, and is settled. `tag` means something there only."""

    def ack(self, tag: int) -> None:
        """The message is dealt with."""
        ...

    def nack(self, tag: int) -> None:
        """The message goes back to its queue."""
        ...


def check_size(content: Request | Reply | bytes, limit: int) -> None:
    """Raise BadMessage for what would be larger than `limit` as bytes; makes them only where that is in doubt."""
    if isinstance(content, Request):
        # JSON in JSON has at most every character escaped, and names of some dozen bytes around each value of a context.
        if content.weight * 12 + 4096 > limit:
            content.pack(limit)
    elif isinstance(content, Reply):
        content.pack(limit)


def body_of(content: Request | Reply | bytes, limit: int) -> bytes:
    """What crosses as bytes; raises BadMessage when they are more than `limit`."""
    return content if isinstance(content, bytes) else content.pack(limit)


Receive = Callable[[Delivery], None]


class Subscription(Protocol):
    """One consumer of one queue."""

    async def cancel(self) -> None:
        """No more deliveries. Those already made stay the receiver's to settle."""
        ...


class Transport(Protocol):
    """A connection to a message broker; several buses of a process share it."""

    @property
    def replies(self) -> Replies:
        """The calls of this process that wait for an answer."""
        ...

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that everything here runs in."""
        ...

    @property
    def reply_name(self) -> str:
        """The name of the reply queue while it can be answered to; else empty, and `reply_queue` waits for it."""
        ...

    @property
    def reconnects(self) -> int:
        """How often the connection was lost and came back."""
        ...

    @property
    def is_connected(self) -> bool:
        """Is the broker there now?"""
        ...

    @property
    def waiting(self) -> int:
        """How many operations wait for the broker to come back."""
        ...

    def post(self, to: Destination, message: Message) -> bool:
        """Send a message that is not to be confirmed, at once; False when something must be waited for, as `publish` does.

        Raises what `publish` raises.
        """
        ...

    async def publish(self, to: Destination, message: Message, *, timeout: float | None = None) -> None:
        """Send, waiting at most `timeout` seconds (default: the settings' publish_timeout) for the broker.

        Raises BadMessage for one that is too large, NotConnected when the broker stays away or does not accept the message in
        time (it may have got it all the same), Unroutable when the message is to be confirmed and no queue takes it.
        """
        ...

    async def consume(self, sources: Sequence[Destination], receive: Receive) -> Subscription:
        """Declare these queues and hand every message to `receive`, which must not block and not raise.

        At most `prefetch` deliveries of each queue are unsettled at a time. Raises NotConnected.
        """
        ...

    async def reply_queue(self, *, timeout: float | None = None) -> str:
        """The name of this process's reply queue, which is consumed from the first use on.

        Waits for the broker: a question is best asked when its answer can come. Raises NotConnected.
        """
        ...

    async def close(self) -> None:
        """Disconnect; unsettled deliveries go back to their queues."""
        ...
