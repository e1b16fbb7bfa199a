"""A broker inside the process, as strict as the real one.

Bodies cross as bytes, queues are bounded, deliveries are limited by prefetch and must be acknowledged, shared queues go
round robin, and whatever was delivered and not settled is delivered again when its connection is lost. Several
transports on one `MemoryBroker` are several processes on one real broker.
"""

import asyncio
import itertools
import secrets
import time
from collections import deque
from typing import Final

from rpc.errors import NotConnected, Unroutable
from rpc.replies import Replies
from rpc.settings import BusSettings
from rpc.transport import Delivery, Destination, Message, Receive, Role, Subscription

QUEUE_LIMIT: Final = 100_000  # messages


class MemoryTransport:
    """One connection to a MemoryBroker."""

    def __init__(self, broker: "MemoryBroker", settings: BusSettings) -> None:
        self._broker = broker
        self._settings = settings
        self._consumers: list[_Consumer] = []
        self._reply_queue: str | None = None
        self._is_closed = False
        self.replies: Final = Replies(settings.max_message_bytes)

    async def publish(self, to: Destination, message: Message, *, timeout: float | None = None) -> None:
        """Put the message into every queue that takes it, waiting while one of them is full."""
        self._check_open()
        if to.role is Role.DEAD or (to.role is Role.SHARED and self._settings.is_durable):
            self._broker.declare(to.name)
        queues = self._broker.route(to)
        if not queues and message.assured and to.role is not Role.FANOUT:
            raise Unroutable(f"no queue takes messages for {to.name}")
        for queue in queues:
            if not queue.put(message):
                await _put_later(queue, message, self._settings.publish_timeout if timeout is None else timeout)
        # As with a real broker others get their turn; a loop of casts would starve its own consumers otherwise.
        await asyncio.sleep(0)

    async def consume(self, source: Destination, receive: Receive) -> Subscription:
        """Declare the queue and deliver its messages to `receive`."""
        self._check_open()
        if source.role is Role.FANOUT:
            queue = self._broker.declare(f"{source.name}_{secrets.token_hex(16)}", fanout=source.name)
        else:
            queue = self._broker.declare(source.name)
        consumer = _Consumer(self._broker, queue, receive, self._settings.prefetch)
        self._consumers.append(consumer)
        consumer.start()
        return consumer

    async def reply_queue(self, *, timeout: float | None = None) -> str:  # noqa: ARG002  # memory is always there
        """The name of this transport's reply queue."""
        self._check_open()
        if self._reply_queue is None:
            self._reply_queue = f"reply_{secrets.token_hex(16)}"
            queue = self._broker.declare(self._reply_queue, is_temporary=True)
            consumer = _Consumer(self._broker, queue, self._answered, None)
            self._consumers.append(consumer)
            consumer.start()
        return self._reply_queue

    async def ack(self, delivery: Delivery) -> None:
        """The message is dealt with."""
        _settle(delivery, requeue=False)

    async def nack(self, delivery: Delivery) -> None:
        """Give the message back to its queue."""
        _settle(delivery, requeue=True)

    async def close(self) -> None:
        """Disconnect."""
        self._is_closed = True
        for consumer in self._consumers:
            consumer.lose()
        for consumer in self._consumers:
            consumer.stop()
        self._consumers.clear()
        self.replies.lost()

    def sever(self) -> None:
        """Lose the connection and have it back at once, as when a broker closes every connection."""
        consuming = [consumer for consumer in self._consumers if consumer.is_active]
        for consumer in self._consumers:
            consumer.lose()
        for consumer in consuming:
            consumer.start()
        self.replies.lost()

    def _answered(self, delivery: Delivery) -> None:
        self.replies.receive(delivery.body)

    def _check_open(self) -> None:
        if self._is_closed:
            raise NotConnected("this connection is closed")


class MemoryBroker:
    """Queues by name and fanouts by exchange. `limit` is the number of messages that one queue holds."""

    def __init__(self, *, limit: int = QUEUE_LIMIT) -> None:
        self._limit = limit
        self._queues: dict[str, _Queue] = {}
        self._fanouts: dict[str, dict[str, _Queue]] = {}

    def declare(self, name: str, *, fanout: str | None = None, is_temporary: bool = False) -> "_Queue":
        """The queue of this name, made if need be. Bound to the exchange `fanout`, it is temporary."""
        queue = self._queues.get(name)
        if queue is None:
            queue = self._queues[name] = _Queue(name, self._limit, is_temporary=is_temporary or fanout is not None)
        if fanout is not None:
            self._fanouts.setdefault(fanout, {})[name] = queue
        return queue

    def route(self, to: Destination) -> "list[_Queue]":
        """Every queue that takes a message for this destination."""
        if to.role is Role.FANOUT:
            return list(self._fanouts.get(to.name, {}).values())
        queue = self._queues.get(to.name)
        return [] if queue is None else [queue]

    def release(self, queue: "_Queue") -> None:
        """A temporary queue ends with its last consumer."""
        if queue.is_temporary and not queue.consumers:
            self._queues.pop(queue.name, None)
            for bound in self._fanouts.values():
                bound.pop(queue.name, None)

    def depth(self, name: str) -> int:
        """How many messages wait in a queue; 0 when there is no such queue."""
        queue = self._queues.get(name)
        return 0 if queue is None else len(queue.messages)


class _Stored:
    """One message in a queue. `order` is its place there, for when it comes back."""

    __slots__ = ("expires", "is_redelivered", "message", "order")

    def __init__(self, order: int, message: Message) -> None:
        self.order = order
        self.message = message
        self.expires = None if message.ttl is None else time.monotonic() + message.ttl
        self.is_redelivered = False


class _Queue:
    """Messages in order and the consumers that take turns."""

    def __init__(self, name: str, limit: int, *, is_temporary: bool) -> None:
        self.name = name
        self.is_temporary = is_temporary
        self.messages: deque[_Stored] = deque()
        self.consumers: deque[_Consumer] = deque()
        self.has_space = asyncio.Event()
        self._limit = limit
        self._orders = itertools.count()

    def put(self, message: Message) -> bool:
        """Take a message; False when the queue is full."""
        if len(self.messages) >= self._limit:
            self.has_space.clear()
            return False
        self.messages.append(_Stored(next(self._orders), message))
        self.pump()
        return True

    def give_back(self, stored: _Stored) -> None:
        """A message returns to its old place, full or not."""
        stored.is_redelivered = True
        place = 0
        for other in self.messages:
            if other.order > stored.order:
                break
            place += 1
        self.messages.insert(place, stored)

    def pump(self) -> None:
        """Deliver what consumers have room for; what waited longer than it may is dropped."""
        while self.messages and (consumer := self._next_consumer()) is not None:
            stored = self.messages.popleft()
            if stored.expires is None or time.monotonic() <= stored.expires:
                consumer.take(stored)
        if len(self.messages) < self._limit:
            self.has_space.set()

    def _next_consumer(self) -> "_Consumer | None":
        for _ in range(len(self.consumers)):
            consumer = self.consumers[0]
            self.consumers.rotate(-1)
            if consumer.has_room:
                return consumer
        return None


class _Lease:
    """One delivery of one message to one consumer: what a delivery's tag is."""

    __slots__ = ("consumer", "stored")

    def __init__(self, consumer: "_Consumer", stored: _Stored) -> None:
        self.consumer = consumer
        self.stored = stored


class _Consumer:
    """One receiver of one queue and what it has not settled. Without a prefetch, deliveries need no settling."""

    def __init__(self, broker: MemoryBroker, queue: _Queue, receive: Receive, prefetch: int | None) -> None:
        self._broker = broker
        self._queue = queue
        self._receive = receive
        self._prefetch = prefetch
        self._unsettled: dict[_Lease, None] = {}
        self.is_active = False

    @property
    def has_room(self) -> bool:
        return self._prefetch is None or len(self._unsettled) < self._prefetch

    def start(self) -> None:
        """Take turns in the queue."""
        self.is_active = True
        self._queue.consumers.append(self)
        self._queue.pump()

    async def cancel(self) -> None:
        """No more deliveries. Those already made stay the receiver's to settle."""
        self.stop()

    def stop(self) -> None:
        """Leave the queue, for good."""
        if self.is_active:
            self.is_active = False
            self._queue.consumers.remove(self)
        self._broker.release(self._queue)

    def lose(self) -> None:
        """The connection is gone: leave the queue for now; everything unsettled goes back to it."""
        if self.is_active:
            self.is_active = False
            self._queue.consumers.remove(self)
        for lease in self._unsettled:
            self._queue.give_back(lease.stored)
        self._unsettled.clear()
        self._queue.pump()

    def take(self, stored: _Stored) -> None:
        """Have one message."""
        lease = _Lease(self, stored)
        if self._prefetch is not None:
            self._unsettled[lease] = None
        message = stored.message
        self._receive(
            Delivery(body=message.body, headers=message.headers, redelivered=stored.is_redelivered, tag=lease)
        )

    def settle(self, lease: _Lease, *, requeue: bool) -> None:
        """End a delivery; one of a lost connection has ended already."""
        if lease in self._unsettled:
            del self._unsettled[lease]
            if requeue:
                self._queue.give_back(lease.stored)
            self._queue.pump()


def _settle(delivery: Delivery, *, requeue: bool) -> None:
    if not isinstance(delivery.tag, _Lease):
        raise TypeError("this delivery is not from a memory transport")
    delivery.tag.consumer.settle(delivery.tag, requeue=requeue)


async def _put_later(queue: _Queue, message: Message, timeout: float) -> None:
    try:
        async with asyncio.timeout(timeout):
            while not queue.put(message):
                await queue.has_space.wait()
    except TimeoutError:
        raise NotConnected(f"queue {queue.name} stayed full for {timeout:g} s") from None
