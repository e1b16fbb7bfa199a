"""What the bus needs of a message broker. Two implementations pass one suite, tests/contract/test_bus.py.

A transport knows queues and bytes, nothing of procedures. It comes back by itself after a lost connection,
with its queues and consumers; whatever was delivered and not acknowledged is then delivered again.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final, Protocol

from rpc.envelope import Headers
from rpc.errors import Unroutable
from rpc.replies import Replies

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,199}")
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


@lru_cache(maxsize=4096)
def destination(topic: str, host: str | None = None) -> Destination:
    """The shared queue of a topic, or the queue of its server on one host; raises Unroutable for names no queue can have."""
    for part in (topic,) if host is None else (topic, host):
        if not _NAME.fullmatch(part):
            raise Unroutable(f"no queue can be named for {part[:64]!r}")
    if host is None:
        return Destination(Role.SHARED, topic, topic)
    if host == _DEAD:
        raise Unroutable(f"{topic}.{host} is the dead-letter queue, not a host's")
    return Destination(Role.HOST, f"{topic}.{host}", topic, host)


@lru_cache(maxsize=256)
def everyone(topic: str) -> Destination:
    """Every server of a topic."""
    return Destination(Role.FANOUT, f"{destination(topic).topic}_fanout", topic)


@lru_cache(maxsize=256)
def dead_letters(topic: str) -> Destination:
    """Where messages for `topic` end that cannot be handled."""
    return Destination(Role.DEAD, f"{destination(topic).topic}.{_DEAD}", topic)


def reply_queue(name: str) -> Destination:
    """The queue that a caller named for its answer."""
    return Destination(Role.REPLY, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is published. `assured`: publishing returns when the broker has it, and raises if no queue takes it.

    `ttl` is in seconds; the message is dropped if it waits longer in a queue.
    """

    body: bytes
    headers: Headers
    persistent: bool = False
    assured: bool = False
    ttl: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What is consumed. `tag` is the transport's own; `redelivered` means somebody may have seen it before."""

    body: bytes
    headers: Mapping[str, object]
    redelivered: bool
    tag: object


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

    async def publish(self, to: Destination, message: Message, *, timeout: float | None = None) -> None:
        """Send, waiting at most `timeout` seconds (default: the settings' publish_timeout) for the broker.

        Raises NotConnected when the broker stays away or does not accept the message in time (it may have
        got it all the same), Unroutable when the message is assured and no queue takes it.
        """
        ...

    async def consume(self, source: Destination, receive: Receive) -> Subscription:
        """Declare the queue and hand every message to `receive`, which must not block and not raise.

        At most `prefetch` deliveries are unsettled at a time. Raises NotConnected.
        """
        ...

    async def reply_queue(self, *, timeout: float | None = None) -> str:
        """The name of this process's reply queue, which is consumed from the first use on.

        Waits for the broker: a question is best asked when its answer can come. Raises NotConnected.
        """
        ...

    async def ack(self, delivery: Delivery) -> None:
        """The message is dealt with. Without effect once the connection that delivered it is gone."""
        ...

    async def nack(self, delivery: Delivery) -> None:
        """Give the message back to its queue. Without effect once the connection that delivered it is gone."""
        ...

    async def close(self) -> None:
        """Disconnect; unsettled deliveries go back to their queues."""
        ...
