"""The answering side of a bus: from a delivery to its acknowledgement.

In durable delivery a message is acknowledged when its work is recorded: the handler has returned, the answer is sent,
the retry is published or the message is in the dead-letter queue. Until then the broker keeps it. In icehouse delivery it is
acknowledged first, as Nova did, and what fails is gone.
"""

import asyncio
import contextvars
import itertools
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import msgspec

from rpc.answers import Answers, described
from rpc.dead_letters import Graveyard, travelling
from rpc.endpoint import Endpoint, Handler, Versions
from rpc.envelope import (
    DEADLINE,
    RETRIES,
    TRACEPARENT,
    Envelope,
    Failure,
    Kind,
    Request,
    check,
    deadline_of,
    retries_of,
)
from rpc.errors import Away, BadMessage, BusError, ErrorCodec, NoSuchMethod
from rpc.hooks import Hook, chain, handling
from rpc.metrics import BusMetrics
from rpc.procedure import Target
from rpc.settings import BusSettings
from rpc.tracing import Tracer
from rpc.transport import (
    Assurance,
    Delivery,
    Message,
    Subscription,
    Transport,
    destination,
    everyone,
)

Settle = Callable[[], None]

_log = logging.getLogger(__name__)
_UNANSWERED: Final = object()
_SURE_NAME: Final = 63  # characters that are a name of a queue whatever their bytes
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
        metrics: BusMetrics,
    ) -> None:
        self._transport = transport
        self._tracer = tracer
        self._errors = errors
        self._settings = settings
        self._limit = settings.max_message_bytes
        self._hooks = hooks
        self._metrics = metrics
        self._graveyard = Graveyard(transport, settings, metrics)
        self._answers = Answers(transport, settings)
        self._endpoints: dict[tuple[str, str], Endpoint] = {}
        self._versions: dict[str, Versions] = {}
        self._served: set[str] = set()
        self._subscriptions: list[Subscription] = []
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._numbers = itertools.count()
        self._is_bare = tracer.is_silent and not hooks  # then nobody looks at a message in between
        self._closing = asyncio.Event()
        self._is_closing = False
        # Where messages are acknowledged at once the broker's prefetch is no limit, so this is it.
        self._slots = asyncio.Semaphore(settings.prefetch)

    def register(self, kind: Kind, procedure: Target, request: type[object], handler: Handler) -> None:
        """Answer to `procedure`; raises ValueError when something answers already."""
        key = (procedure.topic, procedure.method)
        if key in self._endpoints:
            raise ValueError(f"{procedure.name} has a handler already")
        policy = self._settings.of(procedure.name, procedure.settings)
        versions = self._versions.setdefault(procedure.topic, Versions())
        versions.add(procedure.version)
        self._endpoints[key] = Endpoint(
            kind,
            procedure,
            request,
            handler,
            policy=policy,
            metrics=self._metrics.of(procedure.name),
            versions=versions,
        )

    async def serve(self, topic: str, hosts: Sequence[str]) -> None:
        """Consume the topic's shared queue, those of the hosts, and the fanout's."""
        sources = [destination(topic), everyone(topic), *(destination(topic, host) for host in hosts)]
        new = [source for source in sources if source.name not in self._served]
        if new:
            self._subscriptions.append(await self._transport.consume(new, self._receive))
            self._served.update(source.name for source in new)

    async def close(self) -> None:
        """Take nothing new, let running handlers finish within the drain timeout, then cancel them."""
        self._is_closing = True
        self._closing.set()
        for subscription in self._subscriptions:
            await subscription.cancel()
        self._subscriptions.clear()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks.values(), timeout=self._settings.drain_timeout)
            for task in late:
                task.cancel()
            if late:
                _log.warning("%d handlers did not finish within %g s", len(late), self._settings.drain_timeout)
                await asyncio.wait(late, timeout=_CANCEL_TIMEOUT)

    def _receive(self, delivery: Delivery) -> None:
        number = next(self._numbers)
        # A context of its own: the handler is another place than whoever published, memory or not.
        self._tasks[number] = self._transport.loop.create_task(
            self._take(number, delivery), context=contextvars.Context()
        )

    async def _take(self, number: int, delivery: Delivery) -> None:
        """One delivery, from arrival to settlement."""
        settle: Settle = delivery.nack
        try:
            if not self._is_closing:
                settle = await self._work(delivery)
        except BusError as error:
            _log.warning("a message of %s was not settled and will come again: %s", delivery.source.name, error)
        except Exception as error:
            # A fault of the bus itself: the message would meet it again, so it must not come again.
            settle = await self._set_aside(delivery, error)
        finally:
            settle()
            del self._tasks[number]

    async def _set_aside(self, delivery: Delivery, error: Exception) -> Settle:
        """Bury a message that the bus itself could not work on; answers how to settle it then."""
        # Without its headers and without the error's text: either may be what the bus stumbled over.
        reason = f"the bus could not work on it: {type(error).__name__}"
        try:
            await self._graveyard.bury(delivery, {}, reason, because=error)
        except BusError as failure:
            _log.warning("a message of %s was not buried and will come again: %s", delivery.source.name, failure)
            return delivery.nack
        except Exception:
            _log.exception("a message of %s could not be buried either: the broker keeps it", delivery.source.name)
            return _nothing
        return delivery.ack

    async def _work(self, delivery: Delivery) -> Settle:
        """Do what the message asks; answers how to settle it."""
        source, headers = delivery.source, delivery.headers
        try:
            request, deadline = self._opened(delivery)
        except BadMessage as fault:
            await self._graveyard.bury(delivery, {}, str(fault))
            return delivery.ack
        endpoint = self._endpoints.get((source.topic, request.method))
        if deadline is not None and time.time() > deadline:
            name = f"{source.topic}.?" if endpoint is None else endpoint.name
            self._metrics.of(name).events["expired"] += 1
            return delivery.ack
        try:
            if endpoint is None:
                endpoint = self._missing(source.topic, request.method)
            ask = endpoint.read(request, source)
            retries = retries_of(headers) if RETRIES in headers else 0
        except BadMessage as fault:
            await self._graveyard.bury(delivery, headers, str(fault), endpoint)
            if request.msg_id is not None:
                await self._answers.refuse(request, deadline, fault)
            return delivery.ack
        events = endpoint.metrics.events
        events["received"] += 1
        if delivery.redelivered:
            events["redelivered"] += 1
        envelope = None
        if not self._is_bare or TRACEPARENT in headers:
            envelope = endpoint.envelope(request, ask, headers, source, retries)
        if endpoint.kind is Kind.CALL:
            work = self._answer(endpoint, envelope, ask, request, delivery, deadline)
        else:
            work = self._obey(endpoint, envelope, ask, delivery, retries)
        if endpoint.policy.is_durable:
            is_done = await work if endpoint.slots is None else await _within(work, endpoint.slots)
            return delivery.ack if is_done else delivery.nack
        delivery.ack()
        await self._regardless(endpoint, work)
        return _nothing

    async def _regardless(self, endpoint: Endpoint, work: Coroutine[Any, Any, bool]) -> None:
        """Do work whose message is acknowledged already: however it ends, nothing is left to settle."""
        # A procedure's own slots first: who waits there must not hold what others could use.
        slots = (self._slots,) if endpoint.slots is None else (endpoint.slots, self._slots)
        try:
            await _within(work, *slots)
        except asyncio.CancelledError:
            _log.warning("%s was cancelled, and its message is gone", endpoint.name)
        except BusError as error:
            _log.warning("%s came to nothing, and its message is gone: %s", endpoint.name, error)
        except Exception:
            _log.exception("the bus could not work on a message for %s, which is gone", endpoint.name)

    def _opened(self, delivery: Delivery) -> tuple[Request, float | None]:
        content = delivery.content
        request = content if isinstance(content, Request) else delivery.request(self._limit)
        if request.reply_to is None or request.msg_id is None or len(request.reply_to) > _SURE_NAME:
            check(request)
        return request, deadline_of(delivery.headers) if DEADLINE in delivery.headers else None

    def _missing(self, topic: str, method: str) -> Endpoint:
        raise NoSuchMethod(f"{topic} has no method {method[:100]!r}")

    async def _answer(
        self,
        endpoint: Endpoint,
        envelope: Envelope | None,
        ask: object,
        request: Request,
        delivery: Delivery,
        deadline: float | None,
    ) -> bool:
        """Run a call's handler and send what comes out of it. There is never a need for it to come again."""
        failure = None
        result = None
        try:
            if request.monitor:
                async with self._answers.signs_of_life(request):
                    result = await self._run(endpoint, envelope, ask, delivery)
            else:
                result = await self._run(endpoint, envelope, ask, delivery)
        except Exception as error:
            failure = self._failure(endpoint, error)
        if result is not _UNANSWERED:
            try:
                await self._answers.send(request, deadline, result, failure)
            except (BadMessage, TypeError, ValueError, msgspec.MsgspecError) as error:
                await self._answers.fail(request, deadline, self._failure(endpoint, error))
        return True

    async def _obey(
        self, endpoint: Endpoint, envelope: Envelope | None, ask: object, delivery: Delivery, retries: int
    ) -> bool:
        """Run the handler of a cast or fanout; False when the message must go back to its queue."""
        try:
            await self._run(endpoint, envelope, ask, delivery)
        except Exception as error:
            events = endpoint.metrics.events
            if self._errors.encode(error) is not None:
                events["refused"] += 1
                _log.warning("%s was refused: %s", endpoint.name, error)
                return True
            events["failed"] += 1
            if isinstance(error, BusError):
                _log.warning("%s failed (attempt %d): %s", endpoint.name, retries + 1, error)
            else:
                _log.exception("%s failed (attempt %d)", endpoint.name, retries + 1)
            if endpoint.kind is Kind.CAST and endpoint.policy.is_durable:
                return await self._again(endpoint, delivery, retries, error)
        return True

    async def _again(self, endpoint: Endpoint, delivery: Delivery, retries: int, error: Exception) -> bool:
        """Order a failed cast once more, later; bury it when its budget is used up, which an outage does not touch.

        The delivery stays unacknowledged meanwhile, so a worker that dies here loses nothing.
        """
        spent = retries + (not isinstance(error, Away))
        if spent > endpoint.policy.retries:
            reason = f"failed {retries + 1} times, last by {type(error).__name__}: {error}"
            await self._graveyard.bury(delivery, delivery.headers, reason, endpoint)
            return True
        try:
            async with asyncio.timeout(endpoint.policy.retry_delay * 2**retries):
                await self._closing.wait()
        except TimeoutError:
            endpoint.metrics.events["retried"] += 1
            await self._transport.publish(
                delivery.source,
                Message(
                    content=delivery.content,
                    headers={**travelling(delivery.headers), RETRIES: spent},
                    persistent=self._settings.keeps_queues,
                    assurance=Assurance.CONFIRMED,
                ),
            )
            return True
        return False

    async def _run(self, endpoint: Endpoint, envelope: Envelope | None, ask: object, delivery: Delivery) -> object:
        """The handler's result, through the hooks; _UNANSWERED when a hook kept the message."""
        metrics = endpoint.metrics
        metrics.in_flight += 1
        began = time.perf_counter()
        try:
            if envelope is None:
                result = await endpoint.handler(ask)
            else:
                with handling(self._tracer, envelope, delivery.source.name):
                    result = await self._through_hooks(endpoint, envelope)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise RuntimeError(f"{endpoint.name} awaited something that was cancelled") from error
        finally:
            metrics.in_flight -= 1
            metrics.handling.observe(time.perf_counter() - began)
        metrics.events["handled"] += 1
        return result

    async def _through_hooks(self, endpoint: Endpoint, envelope: Envelope) -> object:
        result: object = _UNANSWERED

        async def handle(envelope: Envelope) -> None:
            nonlocal result
            result = await endpoint.handler(envelope.request)

        await chain(self._hooks, handle)(envelope)
        return result

    def _failure(self, endpoint: Endpoint, error: Exception) -> Failure:
        expected = self._errors.encode(error)
        if expected is None:
            endpoint.metrics.events["failed"] += 1
            _log.error("%s failed", endpoint.name, exc_info=error)
            return described(error)
        code, fields = expected
        return described(error, code, fields)


async def _within(work: Coroutine[Any, Any, bool], *slots: asyncio.Semaphore) -> bool:
    """Do this work when there is a slot for it in each of these."""
    held: list[asyncio.Semaphore] = []
    try:
        for each in slots:
            await each.acquire()
            held.append(each)
        return await work
    finally:
        work.close()  # it may never have begun
        for each in held:
            each.release()


def _nothing() -> None:
    """Settle what is settled already."""
