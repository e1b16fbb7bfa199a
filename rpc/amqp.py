"""The transport over an AMQP broker, with Nova's topology (oslo.messaging's rabbit driver).

A topic exchange (`nova`), a shared queue `<topic>`, a queue `<topic>.<host>` per server, a fanout exchange `<topic>_fanout`
with a queue per server, a reply queue per process. The connection comes back by itself, at once and then with
growing, jittered pauses, with every consumer; what waits for it goes on in order. Only rpc.amqp and its siblings import aio_pika.
"""

import asyncio
import itertools
import logging
import random
import secrets
from collections.abc import Callable, Sequence
from typing import Final

from rpc.address import Address
from rpc.amqp_connect import enter
from rpc.amqp_libraries import quiet_libraries
from rpc.amqp_path import SessionLost
from rpc.amqp_session import Consumer, Session
from rpc.errors import Misconfigured, NotConnected, Refused
from rpc.replies import Replies
from rpc.settings import BusSettings
from rpc.transport import Assurance, Delivery, Destination, Message, Receive, Role, Subscription, reply_queue

_log = logging.getLogger(__name__)

_FIRST_PAUSE: Final = 0.1  # seconds between two attempts to connect; doubles
_LONGEST_PAUSE: Final = 2.0
_CONNECT_TIMEOUT: Final = 10.0
_WAITING_LIMIT: Final = 10_000  # messages that may wait for the broker


class AmqpTransport:
    """One connection to a broker, kept: to any node of a cluster."""

    def __init__(self, address: Address, settings: BusSettings, *, plain: bool = False) -> None:
        self.replies: Final = Replies(settings.max_message_bytes)
        self.reconnects = 0
        self.loop: Final = asyncio.get_running_loop()
        self._address = address
        self._where = address.where
        self._is_plain = plain
        self._settings = settings
        self._consumers: dict[Consumer, None] = {}
        self._reply_queue: str | None = None
        self._opening = asyncio.Lock()
        self._session: Session | None = None
        self.post: Callable[[Destination, Message], bool] = _wait  # while there is no session
        self.reply_name = ""
        self._orders = itertools.count()
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._refusal: Refused | Misconfigured | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._jitter = random.SystemRandom()
        # Of the nodes; each process begins with another, so that they share the connections.
        self._turn = self._jitter.randrange(len(address.nodes))

    @classmethod
    async def open(cls, address: Address, settings: BusSettings, *, plain: bool = False) -> "AmqpTransport":
        """Connect, waiting at most publish_timeout for the broker; raises NotConnected, Refused, Misconfigured.

        `plain` sends messages through aiormq's channels, as happens where our own hot path does not fit.
        """
        quiet_libraries()
        transport = cls(address, settings, plain=plain)
        transport._keeper = asyncio.create_task(transport._keep(), name=f"connection to {transport._where}")
        try:
            await transport._live(next(transport._orders), transport._deadline(None))
        except BaseException:
            await transport.close()
            raise
        return transport

    @property
    def is_connected(self) -> bool:
        """Is the broker there now?"""
        return self._session is not None

    @property
    def waiting(self) -> int:
        """How many operations wait for the broker."""
        return len(self._waiting)

    async def publish(self, to: Destination, message: Message, *, timeout: float | None = None) -> None:
        """Send; a message to be confirmed goes out again on the next connection if this one ends before its confirm."""
        deadline = self._deadline(timeout)
        order = next(self._orders)
        while True:
            session = self._session or await self._live(order, deadline)
            try:
                return await session.publish(to, message, deadline)
            except SessionLost:
                if message.assurance is not Assurance.CONFIRMED:
                    # Without a confirm nobody knows, and nobody promised; as with a real Icehouse.
                    return None

    async def consume(self, sources: Sequence[Destination], receive: Receive) -> Subscription:
        """Declare the queues and deliver their messages to `receive`, now and after every reconnect."""
        return await self._consume([Consumer(source, receive) for source in sources], None)

    async def reply_queue(self, *, timeout: float | None = None) -> str:
        """The name of this process's reply queue."""
        if self._reply_queue is None:
            async with self._opening:
                if self._reply_queue is None:
                    consumer = Consumer(
                        reply_queue(f"reply_{secrets.token_hex(16)}"), _unexpected, self.replies.receive
                    )
                    await self._consume([consumer], timeout)
                    self._reply_queue = consumer.queue
                    self.reply_name = "" if self._session is None else consumer.queue
        if self._session is None:
            await self._live(next(self._orders), self._deadline(timeout))
        return self._reply_queue

    async def close(self) -> None:
        """Disconnect."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
            self._keeper = None
        self._refusal = None
        self.replies.lost()

    async def drop(self, consumers: Sequence[Consumer]) -> None:
        """Stop consumers for good."""
        for consumer in consumers:
            self._consumers.pop(consumer, None)
        if self._session is not None:
            try:
                await self._session.detach(consumers, self._deadline(None))
            except (SessionLost, TimeoutError):
                _log.debug("%d consumers need no cancelling: their connection is gone", len(consumers))

    async def _consume(self, consumers: Sequence[Consumer], timeout: float | None) -> Subscription:
        deadline = self._deadline(timeout)
        order = next(self._orders)
        self._consumers.update(dict.fromkeys(consumers))
        try:
            while True:
                session = self._session or await self._live(order, deadline)
                try:
                    await session.attach(consumers, deadline)
                except SessionLost:
                    continue
                return _Subscription(self, consumers)
        except BaseException as error:
            for consumer in consumers:
                self._consumers.pop(consumer, None)
            if isinstance(error, TimeoutError):
                names = ", ".join(consumer.queue for consumer in consumers[:3])
                raise NotConnected(f"the broker at {self._where} did not let us consume {names} in time") from None
            raise

    async def _live(self, order: int, deadline: float) -> Session:
        """The session, once there is one. Who began earlier (`order`) goes on earlier."""
        if len(self._waiting) >= _WAITING_LIMIT:
            raise NotConnected(f"{len(self._waiting)} messages wait for the broker at {self._where} already")
        turn: asyncio.Future[None] = self.loop.create_future()
        try:
            async with asyncio.timeout_at(deadline):
                while self._session is None:
                    if self._keeper is None or self._keeper.done():
                        raise self._refusal or NotConnected(f"the connection to {self._where} is closed")
                    if turn.done():
                        turn = self.loop.create_future()
                    self._waiting[order] = turn
                    await turn
        except TimeoutError:
            raise NotConnected(f"the broker at {self._where} is away") from None
        else:
            return self._session
        finally:
            self._waiting.pop(order, None)

    def _wake(self) -> None:
        for _, turn in sorted(self._waiting.items()):
            if not turn.done():
                turn.set_result(None)

    async def _keep(self) -> None:
        """Have a session, always."""
        is_first = True
        try:
            while True:
                session = await self._connect(is_first=is_first)
                is_first = False
                try:
                    if not session.lost.is_set():
                        self._session = session
                        self.post = session.post
                        self.reply_name = self._reply_queue or ""
                        self._wake()
                    await session.lost.wait()
                    _log.warning("lost the broker at %s: %s", self._where, session.reason or "connection closed")
                finally:
                    await session.close()
        except (Refused, Misconfigured) as refusal:
            self._refusal = refusal
        finally:
            # Whoever waits for a session learns that none will come, once this task has ended.
            self.loop.call_soon(self._wake)

    def _forget(self, session: Session) -> None:
        if self._session is session:
            self._session = None
            self.post = _wait
            self.reply_name = ""
            self.replies.lost()

    async def _connect(self, *, is_first: bool) -> Session:
        """Connect and restore, as often as it takes, to one node after the other.

        The first time only, when nobody relies on us yet, it raises Refused and Misconfigured.
        """
        pause = _FIRST_PAUSE
        loop = self.loop
        began = loop.time()
        while True:
            for _ in self._address.nodes:
                try:
                    session = await self._restored()
                except (Refused, Misconfigured) as refusal:
                    if is_first:
                        raise
                    _log.warning("%s", refusal)
                except (SessionLost, TimeoutError) as error:
                    _log.debug("no connection to %s: %s", self._where, error.__cause__ or error)
                else:
                    if not is_first:
                        self.reconnects += 1
                        _log.warning("connected to %s again after %.1f s", self._where, loop.time() - began)
                    return session
                # The next node at once; only when all were tried is there a pause.
                self._turn += 1
            await asyncio.sleep(pause * self._jitter.uniform(0.5, 1.0))
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _restored(self) -> Session:
        """A new session on which everything consumes that did before."""
        nodes = self._address.nodes
        node = nodes[self._turn % len(nodes)]
        ends = self.loop.time() + _CONNECT_TIMEOUT
        opened = await enter(self._address, node, ends, plain=self._is_plain)
        session = await Session.open(opened, self._settings, ends, self._forget, self.replies.unrouted)
        try:
            deadline = ends + self._settings.publish_timeout
            consumers = list(self._consumers)
            # The queue of the replies first and by itself: it lives on another channel.
            for group in _by_channel(consumers):
                await session.attach(group, deadline)
            dropped = [consumer for consumer in consumers if consumer not in self._consumers]
            await session.detach(dropped, deadline)
        except BaseException:
            await session.close()
            raise
        return session

    def _deadline(self, timeout: float | None) -> float:
        seconds = self._settings.publish_timeout if timeout is None else timeout
        return self.loop.time() + seconds


class _Subscription:
    def __init__(self, transport: AmqpTransport, consumers: Sequence[Consumer]) -> None:
        self._transport = transport
        self._consumers = consumers

    async def cancel(self) -> None:
        """No more deliveries. Those already made stay the receiver's to settle."""
        await self._transport.drop(self._consumers)


def _wait(to: Destination, message: Message) -> bool:  # noqa: ARG001
    """Nothing can be sent at once."""
    return False


def _unexpected(delivery: Delivery) -> None:
    raise TypeError(f"answers do not come as deliveries: {delivery.source.name}")


def _by_channel(consumers: Sequence[Consumer]) -> list[list[Consumer]]:
    replies = [consumer for consumer in consumers if consumer.source.role is Role.REPLY]
    others = [consumer for consumer in consumers if consumer.source.role is not Role.REPLY]
    return [group for group in (replies, others) if group]
