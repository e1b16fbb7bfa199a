"""The queues of an AMQP broker, for the people who look after them (rpc.queues); not for the traffic.

A letter is taken with basic.get and kept unacknowledged while it is looked at, so the broker gives it back by itself if we end in
the middle. With rpc.amqp the only importer of aio_pika.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, ChannelNotFoundEntity, DeliveryError, PublishError
from aiormq.abc import FieldTable
from aiormq.exceptions import (
    AuthenticationError,
    ChannelAccessRefused,
    ChannelLockedResource,
    ConnectionNotAllowed,
    InvalidFrameError,
    ProbableAuthenticationError,
)

from rpc.address import Address
from rpc.amqp_libraries import closed, is_cancelled, quiet_libraries, why
from rpc.envelope import TRACEPARENT, Headers
from rpc.errors import NotConnected, Refused
from rpc.queues import DeadLetter, QueueDepth, Replayed, Select, Stayed, everything, read_letter, why_not
from rpc.transport import dead_letters

_T = TypeVar("_T")
_Letter = tuple[AbstractIncomingMessage, DeadLetter]

_TIMEOUT: Final = 10.0  # seconds one question to the broker may take
_QUORUM_HEADER: Final = "x-delivery-count"  # what a quorum queue, and no other, adds to its messages
_BACK_LOOKS: Final = 20
_BACK_PAUSE: Final = 0.05  # seconds between two of them
_REFUSALS: Final = (
    AuthenticationError,
    ChannelAccessRefused,
    ChannelLockedResource,
    ConnectionNotAllowed,
    ProbableAuthenticationError,
)


class AmqpQueues:
    """The queues of one virtual host."""

    def __init__(self, connection: AbstractConnection, where: str) -> None:
        self._connection = connection
        self._where = where

    @classmethod
    @asynccontextmanager
    async def open(cls, address: Address) -> "AsyncIterator[AmqpQueues]":
        """Connect to the first node that takes us; raises NotConnected, Refused, Misconfigured."""
        quiet_libraries()
        connection = await _connected(address)
        try:
            yield cls(connection, address.where)
        finally:
            await closed(connection.close(), _TIMEOUT)

    async def depths(self, names: Sequence[str]) -> list[QueueDepth]:
        """The queues of these names, in this order, without those that are not there."""
        found: list[QueueDepth] = []
        channel: AbstractChannel | None = None
        for name in names:
            if channel is None or channel.is_closed:
                # The broker closes the channel on which a missing queue is asked for.
                channel = await self.ask(self._connection.channel(publisher_confirms=False))
            queue = await self._existing(channel, name)
            if queue is not None:
                facts = queue.declaration_result
                found.append(
                    QueueDepth(name=name, messages=facts.message_count or 0, consumers=facts.consumer_count or 0)
                )
        if channel is not None:
            await self.ask(channel.close())
        return found

    async def peek(self, topic: str, limit: int, select: Select = everything) -> list[DeadLetter]:
        """The oldest `limit` selected dead letters of a topic."""
        found: list[DeadLetter] = []
        async with self._dead(topic) as dead:
            while (taken := await dead.next()) is not None:
                if len(found) < limit and select(taken[1]):
                    found.append(taken[1])
                if len(found) == limit and not dead.rotates:
                    break
        return found

    async def replay(self, topic: str, select: Select) -> Replayed:
        """Publish the selected dead letters to the queues they came from, each until the broker has confirmed it."""
        count = 0
        stayed: list[Stayed] = []
        try:
            async with self._dead(topic) as dead:
                channel = await self.ask(self._connection.channel(publisher_confirms=True, on_return_raises=True))
                while (taken := await dead.next()) is not None:
                    message, letter = taken
                    if not select(letter):
                        continue
                    why = why_not(letter, topic) or await self._publish(channel, message, letter)
                    if why:
                        stayed.append(Stayed(id=letter.id, method=letter.method, queue=letter.queue, why=why))
                    else:
                        await self.ask(message.ack())
                        count += 1
                await self.ask(channel.close())
        except NotConnected as error:
            raise NotConnected(f"{error}; before that, {count} of {topic} were replayed") from error
        return Replayed(count=count, stayed=tuple(stayed))

    async def purge(self, topic: str, select: Select) -> int:
        """Delete the selected dead letters for good; answers how many."""
        count = 0
        try:
            async with self._dead(topic) as dead:
                while (taken := await dead.next()) is not None:
                    message, letter = taken
                    if select(letter):
                        await self.ask(message.ack())
                        count += 1
        except NotConnected as error:
            raise NotConnected(f"{error}; before that, {count} of {topic} were deleted") from error
        return count

    async def _publish(self, channel: AbstractChannel, message: AbstractIncomingMessage, letter: DeadLetter) -> str:
        """Send a letter to the queue it came from; answers why that was not possible, if so."""
        # Retries and deadline start anew: somebody has decided that it shall be tried now.
        headers: Headers = {TRACEPARENT: letter.traceparent} if letter.traceparent else {}
        fresh = aio_pika.Message(
            letter.body,
            headers=dict(headers),
            content_type=message.content_type,
            content_encoding=message.content_encoding,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )
        try:
            await self.ask(channel.default_exchange.publish(fresh, letter.queue, mandatory=True))
        except PublishError:
            return f"its queue {letter.queue} is not there"
        except DeliveryError:
            return f"the broker rejected it for {letter.queue}"
        return ""

    @asynccontextmanager
    async def _dead(self, topic: str) -> "AsyncIterator[_Dead]":
        """The dead letters of a topic while the block runs; what it did not settle then goes back, in order."""
        channel = await self.ask(self._connection.channel(publisher_confirms=False))
        try:
            dead = _Dead(self, await self._existing(channel, dead_letters(topic).name))
            yield dead
            await dead.give_back()
        finally:
            if not channel.is_closed and not self._connection.is_closed:
                await self.ask(channel.close())

    async def _existing(self, channel: AbstractChannel, name: str) -> AbstractQueue | None:
        try:
            return await self.ask(channel.declare_queue(name, passive=True))
        except ChannelNotFoundEntity:
            return None

    async def ask(self, work: Awaitable[_T]) -> _T:
        """Await the broker's answer; raises NotConnected, Refused."""
        try:
            async with asyncio.timeout(_TIMEOUT):
                return await work
        except TimeoutError:
            raise NotConnected(f"the broker at {self._where} did not answer within {_TIMEOUT:g} s") from None
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            # aiormq rejects what waits on a closed connection with CancelledError.
            raise NotConnected(f"the connection to {self._where} was lost") from None
        except (ChannelNotFoundEntity, DeliveryError):
            raise
        except _REFUSALS as error:
            raise Refused(f"the broker at {self._where} refused: {why(error)}") from None
        except CONNECTION_EXCEPTIONS as error:
            raise NotConnected(f"the connection to {self._where} was lost: {why(error)}") from error

    async def take(self, queue: AbstractQueue) -> AbstractIncomingMessage | None:
        """The queue's next message, unacknowledged."""
        return await self.ask(queue.get(no_ack=False, fail=False, timeout=None))


class _Dead:
    """One walk through a dead-letter queue, of what was in it when the walk began: what dies again meanwhile comes later.

    A quorum queue takes what is given back at its end: `rotates`. Only a walk through all of it keeps its order.
    """

    def __init__(self, queues: AmqpQueues, queue: AbstractQueue | None) -> None:
        self._queues = queues
        self._queue = queue
        self._left = 0 if queue is None else queue.declaration_result.message_count or 0
        self._position = 0
        self.rotates = False
        self._current: AbstractIncomingMessage | None = None
        self._kept: AbstractIncomingMessage | None = None
        self._kept_count = 0

    async def next(self) -> _Letter | None:
        """The next letter; the walk keeps the one before unless it was acknowledged."""
        self._keep()
        if self._queue is None or self._left == 0:
            return None
        self._left -= 1
        message = self._current = await self._queues.take(self._queue)
        if message is None:
            return None
        self.rotates = self.rotates or _QUORUM_HEADER in message.headers
        letter = read_letter(self._position, message.body, message.headers, message.timestamp)
        self._position += 1
        return message, letter

    async def give_back(self) -> None:
        """Requeue everything kept."""
        self._keep()
        if self._kept is None or self._queue is None:
            return
        await self._queues.ask(self._kept.nack(multiple=True, requeue=True))
        if self.rotates:
            await self._until_back(self._queue)

    async def _until_back(self, queue: AbstractQueue) -> None:
        """Wait a little until the letters are seen again: the nodes of a quorum queue agree about it first."""
        for _ in range(_BACK_LOOKS):
            if ((await self._queues.ask(queue.declare())).message_count or 0) >= self._kept_count:
                return
            await asyncio.sleep(_BACK_PAUSE)

    def _keep(self) -> None:
        if self._current is not None and not self._current.processed:
            self._kept = self._current
            self._kept_count += 1
        self._current = None


async def _connected(address: Address) -> AbstractConnection:
    address = address.entered()
    properties: FieldTable = {"connection_name": f"novaflow queue at {socket.gethostname()}:{os.getpid()}"}
    lost: Exception | None = None
    for node in address.nodes:
        context = None if address.tls is None else address.tls.context()
        try:
            return await aio_pika.connect(
                address.url(node), ssl_context=context, timeout=_TIMEOUT, client_properties=properties
            )
        except _REFUSALS as error:
            raise Refused(f"the broker at {node.where} refused the connection: {why(error)}") from None
        except InvalidFrameError as error:
            # aiormq does not say what the broker said, but this is where it objects to a virtual host.
            raise Refused(
                f"the broker at {node.where} does not let this user into the virtual host {address.vhost!r}, if it exists"
            ) from error
        except (TimeoutError, *CONNECTION_EXCEPTIONS) as error:
            lost = error
    raise NotConnected(f"the broker at {address.where} is away") from lost
