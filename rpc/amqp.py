"""The transport over an AMQP broker, with Nova's topology (oslo.messaging's rabbit driver).

A topic exchange (`nova`), a shared queue `<topic>`, a queue `<topic>.<host>` per server, a fanout exchange `<topic>_fanout`
with a queue per server, a reply queue per process. The connection comes back by itself, at once and then with
growing, jittered pauses, with every consumer; what waits for it goes on in order. With rpc.amqp_session the only importer of aio_pika.
"""

import asyncio
import itertools
import logging
import random
import secrets
from typing import Final
from urllib.parse import urlsplit

from rpc.amqp_session import Consumer, Session, SessionLost, Tag
from rpc.errors import NotConnected, Refused
from rpc.replies import Replies
from rpc.settings import BusSettings
from rpc.transport import Delivery, Destination, Message, Receive, Subscription, reply_queue

_log = logging.getLogger(__name__)

_FIRST_PAUSE: Final = 0.1  # seconds between two attempts to connect; doubles
_LONGEST_PAUSE: Final = 2.0
_CONNECT_TIMEOUT: Final = 10.0
_HEARTBEAT: Final = 10  # seconds; a silent broker is given up after about three of them
_WAITING_LIMIT: Final = 10_000  # messages that may wait for the broker


class AmqpTransport:
    """One connection to a broker, kept."""

    def __init__(self, url: str, settings: BusSettings) -> None:
        self.replies: Final = Replies(settings.max_message_bytes)
        self._url, self._where = _checked(url)
        self._settings = settings
        self._consumers: dict[Consumer, None] = {}
        self._reply_queue: str | None = None
        self._opening = asyncio.Lock()
        self._session: Session | None = None
        self._orders = itertools.count()
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._refusal: Refused | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._jitter = random.SystemRandom()

    @classmethod
    async def open(cls, url: str, settings: BusSettings) -> "AmqpTransport":
        """Connect, waiting at most publish_timeout for the broker; raises NotConnected, Refused, ValueError."""
        _quiet_libraries()
        transport = cls(url, settings)
        transport._keeper = asyncio.create_task(transport._keep(), name=f"connection to {transport._where}")
        try:
            await transport._live(next(transport._orders), transport._deadline(None))
        except BaseException:
            await transport.close()
            raise
        return transport

    async def publish(self, to: Destination, message: Message, *, timeout: float | None = None) -> None:
        """Send; an assured message goes out again on the next connection if this one ends before its confirm."""
        deadline = self._deadline(timeout)
        order = next(self._orders)
        while True:
            session = self._session or await self._live(order, deadline)
            try:
                return await session.publish(to, message, deadline)
            except SessionLost:
                if not message.assured:
                    # Without a confirm nobody knows, and nobody promised; as with a real Icehouse.
                    return None

    async def consume(self, source: Destination, receive: Receive) -> Subscription:
        """Declare the queue and deliver its messages to `receive`, now and after every reconnect."""
        return await self._consume(Consumer(source, receive), None)

    async def reply_queue(self, *, timeout: float | None = None) -> str:
        """The name of this process's reply queue."""
        if self._reply_queue is None:
            async with self._opening:
                if self._reply_queue is None:
                    consumer = Consumer(reply_queue(f"reply_{secrets.token_hex(16)}"), self._answered)
                    await self._consume(consumer, timeout)
                    self._reply_queue = consumer.queue
        if self._session is None:
            await self._live(next(self._orders), self._deadline(timeout))
        return self._reply_queue

    async def ack(self, delivery: Delivery) -> None:
        """The message is dealt with."""
        await _settle(delivery, requeue=False)

    async def nack(self, delivery: Delivery) -> None:
        """Give the message back to its queue."""
        await _settle(delivery, requeue=True)

    async def close(self) -> None:
        """Disconnect."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
            self._keeper = None
        self._refusal = None
        self.replies.lost()

    async def drop(self, consumer: Consumer) -> None:
        """Stop a consumer for good."""
        self._consumers.pop(consumer, None)
        if self._session is not None:
            try:
                await self._session.detach(consumer, self._deadline(None))
            except (SessionLost, TimeoutError):
                _log.debug("%s needs no cancelling: its connection is gone", consumer.queue)

    async def _consume(self, consumer: Consumer, timeout: float | None) -> Subscription:
        deadline = self._deadline(timeout)
        order = next(self._orders)
        self._consumers[consumer] = None
        try:
            while True:
                session = self._session or await self._live(order, deadline)
                try:
                    await session.attach(consumer, deadline)
                except SessionLost:
                    continue
                return _Subscription(self, consumer)
        except TimeoutError:
            self._consumers.pop(consumer, None)
            raise NotConnected(f"the broker at {self._where} did not let us consume {consumer.queue} in time") from None
        except BaseException:
            self._consumers.pop(consumer, None)
            raise

    async def _live(self, order: int, deadline: float) -> Session:
        """The session, once there is one. Who began earlier (`order`) goes on earlier."""
        if len(self._waiting) >= _WAITING_LIMIT:
            raise NotConnected(f"{len(self._waiting)} messages wait for the broker at {self._where} already")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout_at(deadline):
                while self._session is None:
                    if self._keeper is None or self._keeper.done():
                        raise self._refusal or NotConnected(f"the connection to {self._where} is closed")
                    if turn.done():
                        turn = asyncio.get_running_loop().create_future()
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
                        self._wake()
                    await session.lost.wait()
                    _log.warning("lost the broker at %s: %s", self._where, session.reason or "connection closed")
                finally:
                    await session.close()
        except Refused as refusal:
            self._refusal = refusal
        finally:
            # Whoever waits for a session learns that none will come, once this task has ended.
            asyncio.get_running_loop().call_soon(self._wake)

    def _forget(self, session: Session) -> None:
        if self._session is session:
            self._session = None
            self.replies.lost()

    async def _connect(self, *, is_first: bool) -> Session:
        """Connect and restore, as often as it takes; raises Refused the first time only, when nobody relies on us yet."""
        pause = _FIRST_PAUSE
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            try:
                session = await self._restored()
            except Refused as refusal:
                if is_first:
                    raise
                _log.warning("%s", refusal)
            except (SessionLost, TimeoutError) as error:
                _log.debug("no connection to %s: %s", self._where, error.__cause__ or error)
            else:
                if not is_first:
                    _log.warning("connected to %s again after %.1f s", self._where, loop.time() - began)
                return session
            await asyncio.sleep(pause * self._jitter.uniform(0.5, 1.0))
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _restored(self) -> Session:
        """A new session on which everything consumes that did before."""
        session = await Session.open(self._url, self._settings, _CONNECT_TIMEOUT, self._forget)
        try:
            deadline = asyncio.get_running_loop().time() + self._settings.publish_timeout + _CONNECT_TIMEOUT
            for consumer in list(self._consumers):
                await session.attach(consumer, deadline)
                if consumer not in self._consumers:  # dropped meanwhile
                    await session.detach(consumer, deadline)
        except BaseException:
            await session.close()
            raise
        return session

    def _answered(self, delivery: Delivery) -> None:
        self.replies.receive(delivery.body)

    def _deadline(self, timeout: float | None) -> float:
        seconds = self._settings.publish_timeout if timeout is None else timeout
        return asyncio.get_running_loop().time() + seconds


class _Subscription:
    def __init__(self, transport: AmqpTransport, consumer: Consumer) -> None:
        self._transport = transport
        self._consumer = consumer

    async def cancel(self) -> None:
        """No more deliveries. Those already made stay the receiver's to settle."""
        await self._transport.drop(self._consumer)


async def _settle(delivery: Delivery, *, requeue: bool) -> None:
    if not isinstance(delivery.tag, Tag):
        raise TypeError("this delivery is not from an AMQP transport")
    await delivery.tag.session.settle(delivery.tag.number, requeue=requeue)


def _checked(url: str) -> tuple[str, str]:
    """The URL with our heartbeat, and the part of it that may be shown."""
    try:
        parts = urlsplit(url)
        where = f"{parts.hostname or 'localhost'}:{parts.port or (5671 if parts.scheme == 'amqps' else 5672)}"
    except ValueError:
        raise ValueError("the broker's URL is malformed: is its password percent-encoded?") from None
    if "heartbeat=" not in parts.query:
        query = "&".join(filter(None, (parts.query, f"heartbeat={_HEARTBEAT}")))
        url = parts._replace(query=query).geturl()
    return url, where


def _quiet_libraries() -> None:
    """Every loss of a connection is reported here, once; the libraries' own tracebacks about it say nothing more."""
    for name in ("aio_pika", "aiormq"):
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.CRITICAL)
