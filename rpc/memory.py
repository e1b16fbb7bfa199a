"""A broker inside the process, as strict as the real one.

Nothing crosses but names and raw JSON, queues are bounded, deliveries are limited by prefetch and must be acknowledged, shared queues go
round robin, and whatever was delivered and not settled is delivered again when its connection is lost. Several
transports on one `MemoryBroker` are several processes on one real broker.
"""

import asyncio
import itertools
import secrets
import time
from collections import deque
from collections.abc import Sequence
from functools import cached_property
from typing import Final

from rpc.errors import NotConnected, Unroutable
from rpc.replies import Replies
from rpc.settings import BusSettings
from rpc.transport import (
    Assurance,
    Delivery,
    Destination,
    Message,
    Receive,
    Role,
    Subscription,
    check_size,
    reply_queue,
)

QUEUE_LIMIT: Final = 100_000  # messages


class MemoryTransport:
    """One connection to a MemoryBroker."""

    def __init__(self, broker: "MemoryBroker", settings: BusSettings) -> None:
        self._broker = broker
        self._settings = settings
        self._consumers: dict[_Consumer, None] = {}
        self._is_closed = False
        self._limit = settings.max_message_bytes
        self._keeps_queues = settings.keeps_queues
        self.replies: Final = Replies(settings.max_message_bytes)
        self.reconnects = 0
        self.waiting = 0
        self.reply_name = ""

    @cached_property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that everything here runs in."""
        return asyncio.get_running_loop()

    @property
    def is_connected(self) -> bool:
        """Is the broker there? It is, until this end is closed."""
        return not self._is_closed

    def post(self, to: Destination, message: Message) -> bool:
        """Put the message into every queue that takes it, unless it is to be confirmed or one of them is full."""
        if message.assurance is Assurance.CONFIRMED:
            return False
        queues = self._route(to, message)
        if len(queues) > 1:
            return False
        return not queues or queues[0].put(message)

    async def publish(self, to: Destination, message: Message, *, timeout: float | None = None) -> None:
        """Put the message into every queue that takes it, waiting while one of them is full."""
        for queue in self._route(to, message):
            if not queue.put(message):
                self.waiting += 1
                try:
                    await _put_later(queue, message, self._settings.publish_timeout if timeout is None else timeout)
                finally:
                    self.waiting -= 1
        if message.assurance is Assurance.CONFIRMED:
            # As with a real broker others get their turn; a loop of casts would starve its own consumers otherwise.
            await asyncio.sleep(0)

    def _route(self, to: Destination, message: Message) -> "list[_Queue]":
        if self._is_closed:
            raise NotConnected("this connection is closed")
        if to.role is not Role.REPLY:
            check_size(message.content, self._limit)  # of a reply its server has seen to that
        queues = self._broker.route(to, declare=to.role is Role.DEAD or (to.role is Role.SHARED and self._keeps_queues))
        if not queues and message.assurance is not Assurance.NONE and not to.is_fanout:
            raise Unroutable(f"no queue takes messages for {to.name}")
        return queues

    async def consume(self, sources: Sequence[Destination], receive: Receive) -> Subscription:
        """Declare the queues and deliver their messages to `receive`."""
        if self._is_closed:
            raise NotConnected("this connection is closed")
        subscription = _Subscription(self)
        for source in sources:
            if source.is_fanout:
                queue = self._broker.declare(f"{source.name}_{secrets.token_hex(16)}", fanout=source.name)
            else:
                queue = self._broker.declare(source.name)
            consumer = _Consumer(self._broker, queue, source, receive, self._settings.prefetch)
            self._consumers[consumer] = None
            subscription.consumers.append(consumer)
            consumer.start()
        return subscription

    async def reply_queue(self, *, timeout: float | None = None) -> str:  # noqa: ARG002  # memory is always there
        """The name of this transport's reply queue."""
        if self._is_closed:
            raise NotConnected("this connection is closed")
        if not self.reply_name:
            self.reply_name = f"reply_{secrets.token_hex(16)}"
            queue = self._broker.declare(self.reply_name, is_temporary=True)
            consumer = _Consumer(self._broker, queue, reply_queue(self.reply_name), self._answered, None)
            self._consumers[consumer] = None
            consumer.start()
        return self.reply_name

    async def close(self) -> None:
        """Disconnect."""
        self._is_closed = True
        self.reply_name = ""
        for consumer in self._consumers:
            consumer.lose()
        for consumer in self._consumers:
            consumer.stop()
        self._consumers.clear()
        self.replies.lost()

    def drop(self, consumers: "Sequence[_Consumer]") -> None:
        """Stop consumers for good; what they have not settled stays theirs to settle until the connection ends."""
        for consumer in consumers:
            consumer.stop()

    def sever(self) -> None:
        """Lose the connection and have it back at once, as when a broker closes every connection."""
        consuming = [consumer for consumer in self._consumers if consumer.is_active]
        for consumer in self._consumers:
            consumer.lose()
        for consumer in consuming:
            consumer.start()
        self.reconnects += 1
        self.replies.lost()

    def _answered(self, delivery: Delivery) -> None:
        self.replies.receive(delivery.content)


class _Subscription:
    def __init__(self, transport: MemoryTransport) -> None:
        self._transport = transport
        self.consumers: list[_Consumer] = []

    async def cancel(self) -> None:
        """No more deliveries. Those already made stay the receiver's to settle."""
        self._transport.drop(self.consumers)


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

    def route(self, to: Destination, *, declare: bool) -> "list[_Queue]":
        """Every queue that takes a message for this destination, which is made if need be."""
        queue = self._queues.get(to.name)
        if queue is not None:
            return [queue]
        if to.is_fanout:
            return list(self._fanouts.get(to.name, {}).values())
        return [self.declare(to.name)] if declare else []

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
    """One message that waits in a queue. `order` is its place there, for when it comes back."""

    __slots__ = ("expires", "is_redelivered", "message", "order")

    def __init__(self, order: int, message: Message, expires: float | None, *, is_redelivered: bool) -> None:
        self.order = order
        self.message = message
        self.expires = expires
        self.is_redelivered = is_redelivered


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
        if not self.messages:
            consumer = self._next_consumer()
            if consumer is not None:
                consumer.take(next(self._orders), message, is_redelivered=False)
                return True
        elif len(self.messages) >= self._limit:
            self.has_space.clear()
            return False
        expires = None if message.ttl is None else time.monotonic() + message.ttl
        self.messages.append(_Stored(next(self._orders), message, expires, is_redelivered=False))
        return True

    def give_back(self, order: int, message: Message) -> None:
        """A message returns to its old place, full or not."""
        place = 0
        for other in self.messages:
            if other.order > order:
                break
            place += 1
        expires = None if message.ttl is None else time.monotonic() + message.ttl
        self.messages.insert(place, _Stored(order, message, expires, is_redelivered=True))

    def pump(self) -> None:
        """Deliver what consumers have room for; what waited longer than it may is dropped."""
        while self.messages and (consumer := self._next_consumer()) is not None:
            stored = self.messages.popleft()
            if stored.expires is None or time.monotonic() <= stored.expires:
                consumer.take(stored.order, stored.message, is_redelivered=stored.is_redelivered)
        if len(self.messages) < self._limit:
            self.has_space.set()

    def _next_consumer(self) -> "_Consumer | None":
        consumers = self.consumers
        for _ in range(len(consumers)):
            consumer = consumers[0]
            if len(consumers) > 1:
                consumers.rotate(-1)
            if consumer.prefetch is None or len(consumer.unsettled) < consumer.prefetch:
                return consumer
        return None


class _Consumer:
    """One receiver of one queue and what it has not settled. Without a prefetch, deliveries need no settling."""

    def __init__(
        self, broker: MemoryBroker, queue: _Queue, source: Destination, receive: Receive, prefetch: int | None
    ) -> None:
        self.prefetch: Final = prefetch
        self.unsettled: dict[int, tuple[int, Message]] = {}
        self.is_active = False
        self._broker = broker
        self._queue = queue
        self._source = source
        self._receive = receive
        self._tags = itertools.count(1)

    def start(self) -> None:
        """Take turns in the queue."""
        self.is_active = True
        self._queue.consumers.append(self)
        self._queue.pump()

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
        for order, message in self.unsettled.values():
            self._queue.give_back(order, message)
        self.unsettled.clear()
        self._queue.pump()

    def take(self, order: int, message: Message, *, is_redelivered: bool) -> None:
        """Have one message."""
        tag = next(self._tags)
        if self.prefetch is not None:
            self.unsettled[tag] = (order, message)
        self._receive(
            Delivery(
                source=self._source,
                content=message.content,
                headers=message.headers,
                redelivered=is_redelivered,
                origin=self,
                tag=tag,
            )
        )

    def ack(self, tag: int) -> None:
        """End a delivery; one of a lost connection has ended already."""
        if self.unsettled.pop(tag, None) is not None and self._queue.messages:
            self._queue.pump()

    def nack(self, tag: int) -> None:
        """Give a delivery back; one of a lost connection has gone back already."""
        held = self.unsettled.pop(tag, None)
        if held is not None:
            self._queue.give_back(*held)
            self._queue.pump()


async def _put_later(queue: _Queue, message: Message, timeout: float) -> None:
    try:
        async with asyncio.timeout(timeout):
            while not queue.put(message):
                await queue.has_space.wait()
    except TimeoutError:
        raise NotConnected(f"queue {queue.name} stayed full for {timeout:g} s") from None
