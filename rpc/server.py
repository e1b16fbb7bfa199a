"""The answering side of a bus: from a delivery to its acknowledgement.

In durable delivery a message is acknowledged when its work is recorded: the handler has returned, the answer is sent,
the retry is published or the message is in the dead-letter queue. Until then the broker keeps it. In icehouse delivery it is
acknowledged first, as Nova did, and what fails is gone.
"""

import asyncio
import contextvars
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from rpc.endpoint import Endpoint, Handler
from rpc.envelope import ORIGIN, REASON, RETRIES, Envelope, Failure, Headers, Kind, pack_reply, unpack
from rpc.errors import Away, BadMessage, BusError, ErrorCodec
from rpc.hooks import Hook, chain, spanning
from rpc.procedure import Target
from rpc.settings import BusSettings
from rpc.tracing import Tracer
from rpc.transport import (
    Delivery,
    Destination,
    Message,
    Role,
    Subscription,
    Transport,
    dead_letters,
    destination,
    everyone,
    reply_queue,
)

Settle = Callable[[Delivery], Awaitable[None]]

_log = logging.getLogger(__name__)
_UNANSWERED: Final = object()
_TEXT_LIMIT: Final = 1000  # characters of an error that go on
_CANCEL_TIMEOUT: Final = 5.0  # seconds a cancelled handler may take to end


class Server:
    """Runs handlers in tasks of its own, so that a lost connection does not cancel them."""

    def __init__(
        self,
        transport: Transport,
        *,
        tracer: Tracer,
        errors: ErrorCodec,
        settings: BusSettings,
        hooks: Sequence[Hook],
        counts: Counter[str],
    ) -> None:
        self._transport = transport
        self._tracer = tracer
        self._errors = errors
        self._settings = settings
        self._hooks = hooks
        self._counts = counts
        self._endpoints: dict[tuple[str, str], Endpoint] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()

    def register(self, kind: Kind, procedure: Target, request: type[object], handler: Handler) -> None:
        """Answer to `procedure`; raises ValueError when something answers already."""
        key = (procedure.topic, procedure.method)
        if key in self._endpoints:
            raise ValueError(f"{procedure.name} has a handler already")
        self._endpoints[key] = Endpoint(kind, procedure, request, handler)

    async def serve(self, topic: str, host: str | None) -> None:
        """Consume the topic's shared queue, the host's and the fanout's."""
        sources = [destination(topic), everyone(topic)]
        if host is not None:
            sources.append(destination(topic, host))
        for source in sources:
            if source.name not in self._subscriptions:
                self._subscriptions[source.name] = await self._consume(source)

    async def close(self) -> None:
        """Take nothing new, let running handlers finish within the drain timeout, then cancel them."""
        self._closing.set()
        for subscription in self._subscriptions.values():
            await subscription.cancel()
        self._subscriptions.clear()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=self._settings.drain_timeout)
            for task in late:
                task.cancel()
            if late:
                _log.warning("%d handlers did not finish within %g s", len(late), self._settings.drain_timeout)
                await asyncio.wait(late, timeout=_CANCEL_TIMEOUT)

    async def _consume(self, source: Destination) -> Subscription:
        # In durable delivery the broker's prefetch is the limit already and this never waits.
        slots = asyncio.Semaphore(self._settings.prefetch)

        def receive(delivery: Delivery) -> None:
            # A context of its own: the handler is another place than whoever published, memory or not.
            task = asyncio.get_running_loop().create_task(
                self._take(source, slots, delivery), context=contextvars.Context()
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return await self._transport.consume(source, receive)

    async def _take(self, source: Destination, slots: asyncio.Semaphore, delivery: Delivery) -> None:
        """One delivery, from arrival to settlement."""
        settle: Settle = self._transport.nack
        try:
            async with slots:
                if self._closing.is_set():
                    return
                self._counts["received"] += 1
                self._counts["redelivered"] += delivery.redelivered
                if not self._settings.is_durable:
                    await self._transport.ack(delivery)
                    settle = _nothing
                if await self._work(source, delivery) and self._settings.is_durable:
                    settle = self._transport.ack
        except BusError as error:
            _log.warning("a message of %s was not settled and will come again: %s", source.name, error)
        except Exception as error:
            # A fault of the bus itself: the message would meet it again, so it must not come again.
            settle = await self._set_aside(source, delivery, error)
        finally:
            await self._settle(source, delivery, settle)

    async def _settle(self, source: Destination, delivery: Delivery, settle: Settle) -> None:
        try:
            await settle(delivery)
        except BusError as error:
            _log.warning("a message of %s was not settled and will come again: %s", source.name, error)

    async def _set_aside(self, source: Destination, delivery: Delivery, error: Exception) -> Settle:
        """Bury a message that the bus itself could not work on; answers how to settle it then."""
        self._counts["failed"] += 1
        # Without its headers and without the error's text: either may be what the bus stumbled over.
        reason = f"the bus could not work on it: {type(error).__name__}"
        try:
            await self._bury(source, delivery.body, {}, reason, because=error)
        except BusError as failure:
            _log.warning("a message of %s was not buried and will come again: %s", source.name, failure)
            return self._transport.nack if self._settings.is_durable else _nothing
        except Exception:
            _log.exception("a message of %s could not be buried either: the broker keeps it", source.name)
            return _nothing
        return self._transport.ack if self._settings.is_durable else _nothing

    async def _work(self, source: Destination, delivery: Delivery) -> bool:
        """Do what the message asks; False when it must go back to its queue."""
        kind = Kind.FANOUT if source.role is Role.FANOUT else Kind.CAST
        try:
            envelope = unpack(
                delivery.body,
                delivery.headers,
                kind=kind,
                topic=source.topic,
                host=source.host,
                limit=self._settings.max_message_bytes,
            )
        except BadMessage as fault:
            await self._bury(source, delivery.body, {}, str(fault))
            return True
        if envelope.deadline is not None and time.time() > envelope.deadline:
            self._counts["expired"] += 1
            return True
        try:
            endpoint = self._endpoint(envelope)
            envelope = endpoint.read(envelope)
        except BadMessage as fault:
            await self._bury(source, delivery.body, envelope.headers, str(fault))
            if envelope.kind is Kind.CALL:
                await self._reply(envelope, None, _described(fault))
            return True
        if envelope.kind is Kind.CALL:
            await self._answer(endpoint, envelope, source)
            return True
        return await self._obey(endpoint, envelope, source, delivery)

    def _endpoint(self, envelope: Envelope) -> Endpoint:
        endpoint = self._endpoints.get((envelope.topic, envelope.method))
        if endpoint is None:
            raise BadMessage(f"{envelope.topic} has no method {envelope.method[:100]!r}")
        return endpoint

    async def _answer(self, endpoint: Endpoint, envelope: Envelope, source: Destination) -> None:
        """Run a call's handler and send what comes out of it."""
        failure = None
        result = None
        try:
            result = await self._run(endpoint, envelope, source)
        except Exception as error:
            failure = self._failure(envelope, error)
        if result is not _UNANSWERED:
            await self._reply(envelope, result, failure)

    async def _obey(self, endpoint: Endpoint, envelope: Envelope, source: Destination, delivery: Delivery) -> bool:
        """Run the handler of a cast or fanout; False when the message must go back to its queue."""
        try:
            await self._run(endpoint, envelope, source)
        except Exception as error:
            expected = self._errors.encode(error)
            if expected is not None:
                self._counts["refused"] += 1
                _log.warning("%s was refused: %s", envelope.name, error)
                return True
            self._counts["failed"] += 1
            if isinstance(error, BusError):
                _log.warning("%s failed (attempt %d): %s", envelope.name, envelope.retries + 1, error)
            else:
                _log.exception("%s failed (attempt %d)", envelope.name, envelope.retries + 1)
            if envelope.kind is Kind.CAST and self._settings.is_durable:
                return await self._again(envelope, source, delivery, error)
        return True

    async def _again(self, envelope: Envelope, source: Destination, delivery: Delivery, error: Exception) -> bool:
        """Order a failed cast once more, later; bury it when its budget is used up, which an outage does not touch.

        The delivery stays unacknowledged meanwhile, so a worker that dies here loses nothing.
        """
        spent = envelope.retries + (not isinstance(error, Away))
        if spent > self._settings.retries:
            reason = f"failed {envelope.retries + 1} times, last by {type(error).__name__}: {error}"
            await self._bury(source, delivery.body, envelope.headers, reason)
            return True
        try:
            async with asyncio.timeout(self._settings.retry_delay * 2**envelope.retries):
                await self._closing.wait()
        except TimeoutError:
            self._counts["retried"] += 1
            headers = {**envelope.headers, RETRIES: spent}
            await self._transport.publish(
                source, Message(body=delivery.body, headers=headers, persistent=True, assured=True)
            )
            return True
        return False

    async def _run(self, endpoint: Endpoint, envelope: Envelope, source: Destination) -> object:
        """The handler's result, through the hooks; _UNANSWERED when a hook kept the message."""
        result: object = _UNANSWERED

        async def handle(envelope: Envelope) -> None:
            nonlocal result
            try:
                result = await endpoint.handler(envelope.request)
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                raise RuntimeError(f"{envelope.name} awaited something that was cancelled") from error

        with spanning(self._tracer, envelope, source.name):
            await chain(self._hooks, handle)(envelope)
        self._counts["handled"] += 1
        return result

    def _failure(self, envelope: Envelope, error: Exception) -> Failure:
        expected = self._errors.encode(error)
        if expected is None:
            self._counts["failed"] += 1
            _log.error("%s failed", envelope.name, exc_info=error)
            return _described(error)
        code, fields = expected
        return _described(error, code, fields)

    async def _reply(self, envelope: Envelope, result: object, failure: Failure | None) -> None:
        if envelope.msg_id is None or envelope.reply_to is None:
            raise TypeError(f"{envelope.name} is no call")
        limit = self._settings.max_message_bytes
        try:
            body = pack_reply(envelope.msg_id, envelope.unique_id, result=result, failure=failure, limit=limit)
        except (BadMessage, TypeError, ValueError, msgspec.MsgspecError) as error:
            failure = self._failure(envelope, error)
            body = pack_reply(envelope.msg_id, envelope.unique_id, failure=failure, limit=limit)
        ttl = None if envelope.deadline is None else max(envelope.deadline - time.time(), 0.001)
        await self._transport.publish(reply_queue(envelope.reply_to), Message(body=body, headers={}, ttl=ttl))

    async def _bury(
        self, source: Destination, body: bytes, headers: Headers, reason: str, *, because: Exception | None = None
    ) -> None:
        """Put a message that cannot be handled where people find it, with the reason."""
        self._counts["dead"] += 1
        reason = _printable(reason)
        _log.error("a message of %s goes to the dead-letter queue: %s", source.name, reason, exc_info=because)
        headers = {**headers, REASON: reason, ORIGIN: source.name}
        await self._transport.publish(
            dead_letters(source.topic),
            Message(body=body, headers=headers, persistent=self._settings.is_durable, assured=True),
        )


def _described(error: Exception, code: str | None = None, fields: dict[str, object] | None = None) -> Failure:
    return Failure(
        type_name=type(error).__name__,
        module=type(error).__module__,
        message=_printable(str(error)),
        code=code,
        kwargs=fields or {},
    )


def _printable(text: str) -> str:
    """Any text as one that every encoder takes, and not too much of it."""
    return text[:_TEXT_LIMIT].encode(errors="replace").decode()


async def _nothing(delivery: Delivery) -> None:
    """Settle what is settled already."""
