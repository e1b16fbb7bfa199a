"""One live connection to an AMQP broker: its channels, what was declared on it, and how it ends.

A session ends once and for all when anything goes wrong with it; rpc.amqp then opens the next one. aiormq has waits that
no lost connection ends, and rejects others with CancelledError, so every operation runs through `_run`, which ends with the
session or at its deadline, whichever is first.
"""

import asyncio
import itertools
import logging
import os
import secrets
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar
from urllib.parse import unquote, urlsplit

import aio_pika
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from aiormq import spec
from aiormq.abc import AbstractConnection, DeliveredMessage
from aiormq.channel import Channel
from aiormq.exceptions import (
    AuthenticationError,
    ChannelAccessRefused,
    ChannelInvalidStateError,
    ChannelPreconditionFailed,
    ConnectionNotAllowed,
    DeliveryError,
    InvalidFrameError,
    ProbableAuthenticationError,
    PublishError,
)

from rpc.errors import NotConnected, Refused, Unroutable
from rpc.settings import BusSettings
from rpc.transport import Delivery, Destination, Message, Receive, Role

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_REFUSALS: Final = (
    AuthenticationError,
    ProbableAuthenticationError,
    ConnectionNotAllowed,
    ChannelAccessRefused,
    ChannelPreconditionFailed,
)
_OPEN_OK: Final = spec.Connection.OpenOk.name
_SETTLE_TIMEOUT: Final = 10.0  # seconds until an acknowledgement that cannot be sent ends the session
_CLOSE_TIMEOUT: Final = 5.0
_REPLY_QUEUE_TTL: Final = 600_000  # milliseconds a reply queue outlives its process; oslo.messaging has 1800 s


class SessionLost(Exception):
    """The connection ended before the operation did; whether the broker saw it is not known."""


@dataclass(eq=False)
class Consumer:
    """A receiver of one queue, for as many sessions as it takes."""

    source: Destination
    receive: Receive
    queue: str = field(default="")

    def __post_init__(self) -> None:
        is_fanout = self.source.role is Role.FANOUT
        self.queue = f"{self.source.name}_{secrets.token_hex(16)}" if is_fanout else self.source.name


@dataclass(frozen=True, slots=True)
class Tag:
    """What settles a delivery: a number that means something in one session only."""

    session: "Session"
    number: int


class Session:
    """Four channels on one connection: declarations, confirmed and unconfirmed publishing, consuming.

    They are apart because a channel's error closes it, and an acknowledgement must go where the delivery came from.
    """

    def __init__(
        self, connection: aio_pika.abc.AbstractConnection, settings: BusSettings, on_lost: Callable[["Session"], None]
    ) -> None:
        self._on_lost = on_lost
        self.lost: Final = asyncio.Event()
        self.reason: BaseException | None = None
        self._connection = connection
        self._settings = settings
        self._scopes: set[asyncio.Timeout] = set()
        self._declared: set[str] = set()
        self._tags: dict[Consumer, str] = {}
        self._declaring = asyncio.Lock()
        self._message_ids = itertools.count(1)
        self._amqp: AbstractConnection
        self._topology: Channel
        self._confirmed: Channel
        self._plain: Channel
        self._consuming: Channel

    @classmethod
    async def open(
        cls, url: str, settings: BusSettings, timeout: float, on_lost: Callable[["Session"], None]
    ) -> "Session":
        """Connect and declare the control exchange, within `timeout` seconds.

        `on_lost` is called the moment the session ends, before anything that waits on it goes on. Raises Refused, SessionLost with the reason as its cause, TimeoutError.
        """
        deadline = asyncio.get_running_loop().time() + timeout
        try:
            async with asyncio.timeout_at(deadline):
                connection = await aio_pika.connect(
                    url, client_properties={"connection_name": f"{socket.gethostname()}:{os.getpid()}"}
                )
        except _REFUSALS as error:
            raise Refused(f"the broker refused the connection: {_why(error)}") from None
        except InvalidFrameError as error:
            if _OPEN_OK not in str(error):
                raise SessionLost from error
            # aiormq does not say what the broker said, but this is where it objects to a virtual host.
            name = unquote(urlsplit(url).path[1:]) or "/"
            raise Refused(f"the broker does not let this user into the virtual host {name!r}, if it exists") from None
        except CONNECTION_EXCEPTIONS as error:
            raise SessionLost from error
        session = cls(connection, settings, on_lost)
        try:
            await session._run(session._prepare(), deadline)
        except BaseException:
            await session.close()
            raise
        return session

    async def _prepare(self) -> None:
        if self._connection.transport is None:
            raise SessionLost
        amqp = self._amqp = self._connection.transport.connection
        self._watch(amqp.closing)
        self._topology = await self._channel()
        self._confirmed = await self._channel(confirms=True)
        self._plain = await self._channel()
        self._consuming = await self._channel()
        # Not the topology's: what fails there fails for one caller, who hears why.
        for channel in (self._confirmed, self._plain, self._consuming):
            self._watch(channel.closing)
        self._consuming.on_consumer_cancel_callbacks.add(self._on_cancelled)
        await self._consuming.basic_qos(prefetch_count=self._settings.prefetch)
        await self._topology.exchange_declare(
            self._settings.exchange, exchange_type="topic", durable=self._settings.is_durable
        )

    async def _channel(self, *, confirms: bool = False) -> Channel:
        channel = await self._amqp.channel(publisher_confirms=confirms, on_return_raises=confirms)
        if not isinstance(channel, Channel):
            raise TypeError(f"aiormq opened a {type(channel).__name__}, not a channel")
        return channel

    async def publish(self, to: Destination, message: Message, deadline: float) -> None:
        """Send a message; if it is assured, until the broker has confirmed it.

        Raises SessionLost, Unroutable, Refused, NotConnected when the deadline passes or the broker rejects the message.
        """
        try:
            if to.role is Role.FANOUT or (to.name not in self._declared and self._declares(to)):
                await self._declare(to, deadline)
            await self._run(self._publish(to, message), deadline)
        except PublishError:
            raise Unroutable(f"no queue takes messages for {to.name}") from None
        except DeliveryError:
            raise NotConnected(f"the broker rejected a message for {to.name}") from None
        except TimeoutError:
            raise NotConnected(f"the broker did not accept a message for {to.name} in time") from None

    async def _publish(self, to: Destination, message: Message) -> None:
        # A broker that is short of memory or disk says so; whoever publishes waits for its all-clear.
        await self._amqp.ready()
        channel = self._confirmed if message.assured else self._plain
        if to.role is Role.FANOUT:
            exchange, key = to.name, ""
        elif to.role in (Role.SHARED, Role.HOST):
            exchange, key = self._settings.exchange, to.name
        else:
            exchange, key = "", to.name
        await channel.basic_publish(
            message.body,
            exchange=exchange,
            routing_key=key,
            mandatory=message.assured and to.role is not Role.FANOUT,
            properties=spec.Basic.Properties(
                content_type="application/json",
                content_encoding="utf-8",
                headers=dict(message.headers),
                delivery_mode=2 if message.persistent else 1,
                expiration=None if message.ttl is None else str(max(1, int(message.ttl * 1000))),
                message_id=str(next(self._message_ids)),
            ),
            # Confirms bound what is under way; without them only the socket does.
            wait=not message.assured,
        )

    async def attach(self, consumer: Consumer, deadline: float) -> None:
        """Declare the consumer's queue and consume it; raises SessionLost, Refused, TimeoutError."""
        if consumer in self._tags:
            return
        await self._declare(consumer.source, deadline, queue=consumer.queue)
        is_reply = consumer.source.role is Role.REPLY

        async def deliver(message: DeliveredMessage) -> None:
            tag = message.delivery_tag
            if tag is not None:
                headers = message.header.properties.headers or {}
                is_again = isinstance(message.delivery, spec.Basic.Deliver) and bool(message.delivery.redelivered)
                consumer.receive(Delivery(body=message.body, headers=headers, redelivered=is_again, tag=Tag(self, tag)))

        tag = f"{consumer.queue}.{secrets.token_hex(4)}"
        self._tags[consumer] = tag
        channel = self._plain if is_reply else self._consuming
        await self._run(channel.basic_consume(consumer.queue, deliver, no_ack=is_reply, consumer_tag=tag), deadline)

    async def detach(self, consumer: Consumer, deadline: float) -> None:
        """Stop consuming; raises SessionLost, TimeoutError."""
        tag = self._tags.pop(consumer, None)
        if tag is not None:
            await self._run(self._consuming.basic_cancel(tag), deadline)

    async def settle(self, number: int, *, requeue: bool) -> None:
        """Acknowledge a delivery or give it back; without effect when the session is lost."""
        channel = self._consuming
        sending = channel.basic_nack(number, wait=False) if requeue else channel.basic_ack(number, wait=False)
        try:
            await self._run(sending, asyncio.get_running_loop().time() + _SETTLE_TIMEOUT)
        except SessionLost:
            _log.debug("delivery %d was not settled: its connection is gone", number)
        except TimeoutError as error:
            self.lose(error)

    def lose(self, reason: BaseException | None) -> None:
        """End the session: everything that waits on it raises SessionLost now."""
        if self.lost.is_set():
            return
        # A channel that is found closed says nothing of why.
        self.reason = None if isinstance(reason, ChannelInvalidStateError) else reason
        self.lost.set()
        self._on_lost(self)
        now = asyncio.get_running_loop().time()
        for scope in self._scopes:
            if not scope.expired():
                scope.reschedule(now)

    async def close(self) -> None:
        """Disconnect, within a few seconds."""
        self.lose(None)
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await self._connection.close()
        except (TimeoutError, *CONNECTION_EXCEPTIONS) as error:
            _log.debug("the connection did not close cleanly: %s", _why(error))
        except asyncio.CancelledError:
            if _is_cancelled():
                raise

    def _declares(self, to: Destination) -> bool:
        """Must a publisher see to it that the queue is there? A host's queue is its host's to declare."""
        return to.role is Role.DEAD or (to.role is Role.SHARED and self._settings.is_durable)

    async def _declare(self, to: Destination, deadline: float, *, queue: str = "") -> None:
        async with asyncio.timeout_at(deadline), self._declaring:
            if to.role is Role.FANOUT or to.name not in self._declared:
                await self._run(self._declare_now(to, queue), deadline)
                self._declared.add(to.name)

    async def _declare_now(self, to: Destination, queue: str) -> None:
        channel, is_durable = self._topology, self._settings.is_durable
        if to.role is Role.FANOUT:
            # Deleted by the broker with its last queue, so it is declared before every use; as oslo.messaging has it.
            await channel.exchange_declare(to.name, exchange_type="fanout", auto_delete=True)
            if queue:
                await channel.queue_declare(queue, auto_delete=True)
                await channel.queue_bind(queue, to.name)
        elif to.role is Role.REPLY:
            await channel.queue_declare(to.name, arguments={"x-expires": _REPLY_QUEUE_TTL})
        else:
            await channel.queue_declare(to.name, durable=is_durable)
            if to.role is not Role.DEAD:
                await channel.queue_bind(to.name, self._settings.exchange, to.name)

    async def _run(self, work: Awaitable[_T], deadline: float) -> _T:
        """Await `work` until the deadline (TimeoutError) or the end of the session (SessionLost)."""
        scope = asyncio.timeout_at(deadline)
        try:
            async with scope:
                if self.lost.is_set():
                    scope.reschedule(0)
                self._scopes.add(scope)
                try:
                    return await work
                finally:
                    self._scopes.discard(scope)
        except TimeoutError:
            if self.lost.is_set():
                raise SessionLost from self.reason
            raise
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            # aiormq rejects what waits on a closed connection with CancelledError.
            raise SessionLost from self.reason
        except DeliveryError:
            raise
        except _REFUSALS as error:
            self.lose(error)
            raise Refused(f"the broker refused: {_why(error)}") from None
        except CONNECTION_EXCEPTIONS as error:
            self.lose(error)
            raise SessionLost from error

    def _watch(self, closing: "asyncio.Future[None]") -> None:
        closing.add_done_callback(self._on_closed)

    def _on_closed(self, closing: "asyncio.Future[None]") -> None:
        self.lose(None if closing.cancelled() else closing.exception())

    def _on_cancelled(self, frame: spec.Basic.Cancel) -> None:
        # Its queue was deleted, or moved to another node. The next session declares and consumes it again.
        self.lose(NotConnected(f"the broker ended the consumer {frame.consumer_tag}"))


def _is_cancelled() -> bool:
    """Did somebody cancel the current task, or is a CancelledError only aiormq's way of saying no?"""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _why(error: BaseException) -> str:
    """An AMQP library's error as text. None of them repeats the URL."""
    return f"{type(error).__name__}: {error}"
