"""One live connection to an AMQP broker: its channels, what was declared on it, and how it ends.

A session ends once and for all when anything goes wrong with it; rpc.amqp then opens the next one. aiormq has waits that
no lost connection ends, and rejects others with CancelledError, so every operation of it runs through `_run`, which ends with
the session or at its deadline, whichever is first. Messages take the hot path (rpc.amqp_path).
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import aio_pika
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from aiormq import spec
from aiormq.abc import AbstractConnection, ChannelFrame
from aiormq.channel import Channel
from aiormq.exceptions import ChannelInvalidStateError
from pamqp.base import Frame

from rpc.amqp_connect import REFUSALS, Opened
from rpc.amqp_fast import FastPath
from rpc.amqp_libraries import closed, is_cancelled, why
from rpc.amqp_path import HotPath, Rejected, SessionLost
from rpc.amqp_plain import PlainPath
from rpc.amqp_topology import Topology
from rpc.errors import NotConnected, Refused, Unroutable
from rpc.frames import UNREADABLE, headers_of
from rpc.settings import BusSettings
from rpc.transport import Assurance, Delivery, Destination, Message, Receive, Role, body_of

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_SETTLE_TIMEOUT: Final = 10.0  # seconds until an acknowledgement that cannot be sent ends the session
_CLOSE_TIMEOUT: Final = 5.0
_REJECTED_PAUSE: Final = 0.2  # seconds until a message goes out again that the broker did not take
_BATCH: Final = 100  # consumers whose declarations are written at once
_DECLARING_CHANNELS: Final = 8  # for more than that


@dataclass(eq=False)
class Consumer:
    """A receiver of one queue, for as many sessions as it takes."""

    source: Destination
    receive: Receive
    answer: Callable[[bytes], None] | None = None  # takes bodies as they come, in place of `receive`
    queue: str = field(default="")

    def __post_init__(self) -> None:
        self.queue = f"{self.source.name}_{secrets.token_hex(16)}" if self.source.is_fanout else self.source.name


class Session:
    """Four channels on one connection: declarations, confirmed and unconfirmed publishing, consuming.

    They are apart because a channel's error closes it, and an acknowledgement must go where the delivery came from.
    """

    def __init__(
        self,
        opened: Opened,
        settings: BusSettings,
        on_lost: Callable[["Session"], None],
        on_unrouted: Callable[[str], None],
    ) -> None:
        self.lost: Final = asyncio.Event()
        self.reason: BaseException | None = None
        self._opened = opened
        self._connection: aio_pika.abc.AbstractConnection = opened.connection
        self._settings = settings
        self._on_lost = on_lost
        self._on_unrouted = on_unrouted
        self._topology = Topology(settings)
        self._scopes: set[asyncio.Timeout] = set()
        self._declared: set[str] = set()
        self._tags: dict[Consumer, str] = {}
        self._declaring = asyncio.Lock()
        self._renewing = asyncio.Lock()
        self._age = 0  # of the channel with confirms: how many there were before
        self._settling: set[asyncio.Task[None]] = set()
        self._loop: Final = asyncio.get_running_loop()
        self._is_lost = False
        self._amqp: AbstractConnection
        self._declares: Channel
        self._confirmed: Channel
        self._plain: Channel
        self._consuming: Channel
        self._path: HotPath

    @classmethod
    async def open(
        cls,
        opened: Opened,
        settings: BusSettings,
        deadline: float,
        on_lost: Callable[["Session"], None],
        on_unrouted: Callable[[str], None],
    ) -> "Session":
        """Prepare a connection and declare the control exchange; raises SessionLost, Refused, TimeoutError."""
        session = cls(opened, settings, on_lost, on_unrouted)
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
        amqp.closing.add_done_callback(self._on_closed)
        self._declares = await self._channel()
        confirmed = self._confirmed = await self._channel(confirms=True)
        plain = self._plain = await self._channel()
        consuming = self._consuming = await self._channel()
        # Not the declaring one: what fails there fails for one caller, who hears why.
        for channel in (confirmed, plain, consuming):
            channel.closing.add_done_callback(self._on_closed)
        consuming.on_consumer_cancel_callbacks.add(self._on_cancelled)
        wire = self._opened.wire
        if wire is None:
            self._path = PlainPath(amqp, confirmed, plain, consuming, later=self._settle)
        else:
            self._path = FastPath(
                wire,
                confirmed,
                plain,
                consuming,
                fail=self.lose,
                unrouted=self._on_unrouted,
                address=self._topology.address,
                declared=self._declared,
                limit=self._settings.max_message_bytes,
            )
        # Holds for consumers that come after it.
        await consuming.basic_qos(prefetch_count=self._settings.prefetch)
        await self._declare([self._topology.control()])

    async def _channel(self, *, confirms: bool = False) -> Channel:
        channel = await self._amqp.channel(publisher_confirms=confirms, on_return_raises=confirms)
        if not isinstance(channel, Channel):
            raise TypeError(f"aiormq opened a {type(channel).__name__}, not a channel")
        return channel

    @property
    def post(self) -> Callable[[Destination, Message], bool]:
        """What sends a message that is not to be confirmed; see HotPath."""
        return self._path.post

    async def publish(self, to: Destination, message: Message, deadline: float) -> None:
        """Send a message; if it is to be confirmed, until the broker has done so.

        Raises SessionLost, Unroutable, Refused, BadMessage, NotConnected when the deadline passes or the broker does not take the message.
        """
        body = body_of(message.content, self._settings.max_message_bytes)
        try:
            if self._is_undeclared(to):
                await self._see_to(to, deadline)
            while True:
                age = self._age
                try:
                    return await self._publish(to, message, body, deadline)
                except Rejected:
                    if self._loop.time() + _REJECTED_PAUSE > deadline:
                        raise NotConnected(f"the broker rejected a message for {to.name}") from None
                    # A channel that met a quorum queue without a leader goes on rejecting until that node is back.
                    await self._run(self._renew(age), deadline)
        except Unroutable:
            raise Unroutable(f"no queue takes messages for {to.name}") from None
        except TimeoutError:
            raise NotConnected(f"the broker did not accept a message for {to.name} in time") from None

    async def _publish(self, to: Destination, message: Message, body: bytes, deadline: float) -> None:
        if self._path.is_held:
            await self._run(self._path.room(), deadline)
        elif self._is_lost:
            raise SessionLost
        exchange, key = self._topology.address(to)
        is_mandatory = message.assurance is not Assurance.NONE and not to.is_fanout
        confirmation = self._path.publish(exchange, key, message, body, mandatory=is_mandatory)
        if confirmation is None:
            return
        if isinstance(confirmation, asyncio.Future):
            await _until(confirmation, deadline)
        else:
            await self._run(confirmation, deadline)

    async def _renew(self, age: int) -> None:
        """After a while, publish on a new channel; once for all who were rejected on the one of this age."""
        async with self._renewing:
            if self._age != age:
                return
            await asyncio.sleep(_REJECTED_PAUSE)
            old, self._confirmed = self._confirmed, await self._channel(confirms=True)
            self._confirmed.closing.add_done_callback(self._on_closed)
            self._path.renew(self._confirmed)
            self._age += 1
            old.closing.remove_done_callback(self._on_closed)
            await old.close()

    async def attach(self, consumers: Sequence[Consumer], deadline: float) -> None:
        """Declare the consumers' queues and consume them; raises SessionLost, Refused, TimeoutError."""
        new = [consumer for consumer in consumers if consumer not in self._tags]
        are_declared = len(new) > _BATCH
        if are_declared:
            await self._run(self._declare_many(new), deadline)
        for batch in _batches(new):
            is_reply = batch[0].source.role is Role.REPLY
            frames: list[Frame] = []
            for consumer in batch:
                if not are_declared:
                    frames += self._topology.consumed(consumer.source, consumer.queue)
                frames.append(self._consume(consumer))
            channel = self._plain if is_reply else self._consuming
            await self._run(self._send(channel, frames), deadline)

    async def _declare_many(self, consumers: Sequence[Consumer]) -> None:
        """Declare thousands of queues on several channels side by side: a broker writes each of them down in a transaction."""
        channels = [await self._channel() for _ in range(_DECLARING_CHANNELS)]

        async def declare(number: int) -> None:
            for batch in _batches(consumers[number::_DECLARING_CHANNELS]):
                frames: list[Frame] = []
                for consumer in batch:
                    frames += self._topology.consumed(consumer.source, consumer.queue)
                await self._send(channels[number], frames)

        await asyncio.gather(*(declare(number) for number in range(_DECLARING_CHANNELS)))
        for channel in channels:
            await channel.close()

    def _consume(self, consumer: Consumer) -> Frame:
        """Have deliveries go to the consumer, and the frame that asks for them."""
        is_reply = consumer.source.role is Role.REPLY
        source, receive = consumer.source, consumer.receive
        origin = self._path.origin

        def deliver(headers: Mapping[str, object] | bytes, body: bytes, number: int, is_again: bool) -> None:  # noqa: FBT001
            if isinstance(headers, bytes):
                try:
                    headers = headers_of(headers)
                except UNREADABLE as error:
                    # Other clients may send anything. Were it to end the session, the message would come again for ever.
                    _log.warning("a message of %s has headers that cannot be read: %s", source.name, why(error))
                    headers = {}
            receive(
                Delivery(source=source, content=body, headers=headers, redelivered=is_again, origin=origin, tag=number)
            )

        answer = consumer.answer

        def take(headers: Mapping[str, object] | bytes, body: bytes, number: int, is_again: bool) -> None:  # noqa: ARG001, FBT001
            if answer is not None:
                answer(body)

        tag = self._tags[consumer] = f"{consumer.queue}.{secrets.token_hex(4)}"
        self._path.expect(tag, deliver if answer is None else take, is_reply=is_reply)
        return spec.Basic.Consume(queue=consumer.queue, no_ack=is_reply, consumer_tag=tag, nowait=True)

    async def detach(self, consumers: Sequence[Consumer], deadline: float) -> None:
        """Stop consuming; raises SessionLost, TimeoutError."""
        tags = [tag for consumer in consumers if (tag := self._tags.pop(consumer, None)) is not None]
        for batch in _batches(tags):
            frames = [spec.Basic.Cancel(consumer_tag=tag, nowait=True) for tag in batch]
            await self._run(self._send(self._consuming, frames), deadline)

    def _settle(self, sending: Coroutine[Any, Any, None]) -> None:
        """Wait in the background until a settlement is sent; the session ends when that takes too long."""
        if self._is_lost:
            sending.close()
            return

        async def settle() -> None:
            try:
                await self._run(sending, self._loop.time() + _SETTLE_TIMEOUT)
            except SessionLost:
                _log.debug("a delivery was not settled: its connection is gone")
            except TimeoutError as error:
                self.lose(error)

        task = self._loop.create_task(settle())
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    def lose(self, reason: BaseException | None) -> None:
        """End the session: everything that waits on it raises SessionLost now."""
        if self.lost.is_set():
            return
        # A channel that is found closed says nothing of why.
        self.reason = None if isinstance(reason, ChannelInvalidStateError) else reason
        self._is_lost = True
        self.lost.set()
        self._on_lost(self)
        if self._opened.wire is not None:
            self._opened.wire.abandon()
        now = self._loop.time()
        for scope in self._scopes:
            if not scope.expired():
                scope.reschedule(now)

    async def close(self) -> None:
        """Disconnect, within a few seconds."""
        if self._opened.wire is not None:
            self._opened.wire.flush()
        if self._settling and not self._is_lost:
            await asyncio.wait(self._settling, timeout=_CLOSE_TIMEOUT)
        self.lose(None)
        await closed(self._connection.close(), _CLOSE_TIMEOUT)

    def _is_undeclared(self, to: Destination) -> bool:
        return not to.is_known and (to.is_fanout or to.name not in self._declared)

    async def _see_to(self, to: Destination, deadline: float) -> None:
        """Declare what a message for this destination needs."""
        frames = self._topology.published(to)
        if frames:
            async with asyncio.timeout_at(deadline), self._declaring:
                if self._is_undeclared(to):
                    await self._run(self._declare(frames), deadline)
        if not to.is_fanout:
            self._declared.add(to.name)

    async def _declare(self, frames: Sequence[Frame]) -> None:
        await self._send(self._declares, frames)

    async def _send(self, channel: Channel, frames: Sequence[Frame]) -> None:
        """Have the broker do all of this, in one trip: frames that ask for no answer, then one that does."""
        await channel.write_queue.put(ChannelFrame.marshall(channel_number=channel.number, frames=frames))
        await channel.basic_qos(prefetch_count=self._settings.prefetch)

    async def _run(self, work: Awaitable[_T], deadline: float) -> _T:
        """Await `work` until the deadline (TimeoutError) or the end of the session (SessionLost)."""
        scope = asyncio.timeout_at(deadline)
        try:
            async with scope:
                if self._is_lost:
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
            if is_cancelled():
                raise
            # aiormq rejects what waits on a closed connection with CancelledError.
            raise SessionLost from self.reason
        except REFUSALS as error:
            self.lose(error)
            raise Refused(f"the broker refused: {why(error)}") from None
        except CONNECTION_EXCEPTIONS as error:
            self.lose(error)
            raise SessionLost from error

    def _on_closed(self, closing: "asyncio.Future[None]") -> None:
        self.lose(None if closing.cancelled() else closing.exception())

    def _on_cancelled(self, frame: spec.Basic.Cancel) -> None:
        # Its queue was deleted, or moved to another node. The next session declares and consumes it again.
        self.lose(NotConnected(f"the broker ended the consumer {frame.consumer_tag}"))


def _batches(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    return (items[start : start + _BATCH] for start in range(0, len(items), _BATCH))


async def _until(confirmation: "asyncio.Future[None]", deadline: float) -> None:
    alarm = asyncio.get_running_loop().call_at(deadline, _give_up, confirmation)
    try:
        await confirmation
    finally:
        alarm.cancel()


def _give_up(confirmation: "asyncio.Future[None]") -> None:
    if not confirmation.done():
        confirmation.set_exception(TimeoutError())
