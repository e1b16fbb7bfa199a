"""The asking side of a bus: calls, casts and fanouts."""

import itertools
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from rpc.envelope import (
    DEADLINE,
    TRACEPARENT,
    UNREADABLE,
    Envelope,
    Headers,
    Kind,
    Reply,
    Request,
    Stage,
    deadline_of,
    encode,
    splitter,
    trace_of,
    unpack_failure,
)
from rpc.errors import (
    BadMessage,
    CallTimeout,
    ErrorCodec,
    NoSuchMethod,
    NotConnected,
    RemoteFailure,
    Unroutable,
    UnsupportedVersion,
)
from rpc.hooks import Hook, chain, publishing
from rpc.metrics import BusMetrics, ProcedureMetrics
from rpc.procedure import Call, Cast, Fanout, Req, Res, Target
from rpc.replies import Answer, Silence
from rpc.settings import QUORUM, TRANSIENT, BusSettings, Policy
from rpc.tracing import CURRENT, Tracer
from rpc.transport import Assurance, Destination, Message, Transport, destination, everyone

# What a server says of a question that it does not take; oslo.messaging's have the same names.
_MISREAD: Final[dict[str, type[BadMessage]]] = {
    kind.__name__: kind for kind in (BadMessage, NoSuchMethod, UnsupportedVersion)
}


class _Plan:
    """What does not change between two messages of one procedure."""

    __slots__ = ("assurance", "decode", "is_persistent", "metrics", "split")

    def __init__(self, kind: Kind, procedure: Target, policy: Policy, metrics: ProcedureMetrics, queues: str) -> None:
        self.metrics = metrics
        # What takes a request with a context apart; others are encoded as they are.
        self.split = splitter(procedure.request) if isinstance(procedure, Call | Cast | Fanout) else None
        self.decode: Callable[[Any], Any] | None = None
        if isinstance(procedure, Call):
            self.decode = msgspec.json.Decoder(procedure.reply).decode
        self.assurance = Assurance.NONE
        if policy.is_durable:
            # The answer proves that a question arrived: only what has none is confirmed. But a queue that elects its leader
            # drops what nobody wants confirmed.
            is_proven = kind is Kind.CALL and queues != QUORUM
            self.assurance = Assurance.ROUTED if is_proven else Assurance.CONFIRMED
        # A call that is lost with the broker is asked again: only casts are worth the disk.
        self.is_persistent = policy.is_durable and kind is Kind.CAST and queues != TRANSIENT


class Client:
    """Sends requests and waits for answers. A call whose connection is lost asks again, within its deadline."""

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
        self._hooks = hooks
        self._metrics = metrics
        self._plans: dict[str, _Plan] = {}
        # One random draw per client instead of one per message: 32 hex digits as oslo.messaging has them.
        self._id_prefix = secrets.token_hex(10)
        self._ids = itertools.count(1)
        self._is_closed = False

    async def call(self, procedure: Call[Req, Res], ask: Req, timeout: float | None) -> Res:
        """Ask and wait; see Bus.call."""
        seconds = procedure.timeout if timeout is None else timeout
        plan = self._plan(Kind.CALL, procedure)
        if seconds <= 0:
            raise CallTimeout(f"{procedure.name} was given no time")
        to = destination(procedure.topic, procedure.host)
        began = time.perf_counter()
        try:
            if self._tracer.is_silent:
                answer = await self._converse(plan, procedure, ask, to, seconds)
                return self._read(plan, procedure, to, answer, seconds)
            with publishing(self._tracer, Kind.CALL, procedure, ask, to.name):
                answer = await self._converse(plan, procedure, ask, to, seconds)
                return self._read(plan, procedure, to, answer, seconds)
        finally:
            plan.metrics.calling.observe(time.perf_counter() - began)

    async def cast(self, procedure: Cast[Req], ask: Req) -> None:
        """Order and go on; see Bus.cast."""
        await self._order(Kind.CAST, procedure, ask, destination(procedure.topic, procedure.host))

    async def fanout(self, procedure: Fanout[Req], ask: Req) -> None:
        """Tell everybody; see Bus.fanout."""
        await self._order(Kind.FANOUT, procedure, ask, everyone(procedure.topic))

    def close(self) -> None:
        """Ask nothing more."""
        self._is_closed = True

    async def _order(self, kind: Kind, procedure: Target, ask: object, to: Destination) -> None:
        plan = self._plan(kind, procedure)
        if self._tracer.is_silent:
            await self._send(plan, kind, procedure, ask, to)
        else:
            with publishing(self._tracer, kind, procedure, ask, to.name):
                await self._send(plan, kind, procedure, ask, to)

    async def _send(self, plan: _Plan, kind: Kind, procedure: Target, ask: object, to: Destination) -> None:
        message = self._message(plan, self._request(plan, procedure, ask), None, None)
        if self._hooks:
            await self._through_hooks(plan, kind, procedure, ask, message, to, self._settings.publish_timeout)
            return
        if not self._transport.post(to, message):
            await self._transport.publish(to, message)
        plan.metrics.events["published"] += 1

    async def _converse(self, plan: _Plan, procedure: Target, ask: object, to: Destination, seconds: float) -> Answer:
        """Publish the question until an answer comes or the time is over."""
        transport = self._transport
        loop, replies = transport.loop, transport.replies
        ends = loop.time() + seconds
        deadline = time.time() + seconds
        left = seconds
        request = self._request(plan, procedure, ask)
        msg_id = request.msg_id = request.unique_id
        request.monitor = None
        try:
            while left > 0:
                patience = min(left, self._settings.publish_timeout)
                request.reply_to = transport.reply_name or await transport.reply_queue(timeout=patience)
                future = replies.expect(msg_id, ends, loop)
                message = self._message(plan, request, deadline, left)
                if self._hooks:
                    await self._through_hooks(plan, Kind.CALL, procedure, ask, message, to, patience)
                else:
                    if not transport.post(to, message):
                        await transport.publish(to, message, timeout=patience)
                    plan.metrics.events["published"] += 1
                answer = await future
                if answer is not Silence.LOST:
                    return answer
                # The question may be lost, or only the answer. Calls are safe to repeat, so it is asked again.
                plan.metrics.events["asked_again"] += 1
                left = ends - loop.time()
                request = msgspec.structs.replace(request)
        except BaseException:
            replies.forget(msg_id)
            raise
        return Silence.TIMEOUT

    def _message(self, plan: _Plan, request: Request, deadline: float | None, ttl: float | None) -> Message:
        position = CURRENT.get()
        headers: Headers = {}
        if position is not None:
            headers[TRACEPARENT] = position.traceparent
        if deadline is not None:
            headers[DEADLINE] = int(deadline * 1000)
        return Message(
            content=request, headers=headers, assurance=plan.assurance, persistent=plan.is_persistent, ttl=ttl
        )

    async def _through_hooks(
        self,
        plan: _Plan,
        kind: Kind,
        procedure: Target,
        ask: object,
        message: Message,
        to: Destination,
        timeout: float,
    ) -> None:
        """Publish what the hooks make of a message: as it is, changed, later, twice or not at all."""
        request, headers = message.content, message.headers
        if not isinstance(request, Request):
            raise TypeError(f"{procedure.name}: a client sends requests")

        async def send(envelope: Envelope) -> None:
            left = None if envelope.deadline is None else max(envelope.deadline - time.time(), 0.001)
            changed = request if envelope.request is ask else _changed(request, envelope.request)
            now = Message(
                content=changed,
                headers=envelope.headers,
                assurance=message.assurance,
                persistent=message.persistent,
                ttl=left,
            )
            await self._transport.publish(to, now, timeout=timeout)
            plan.metrics.events["published"] += 1

        envelope = Envelope(
            kind=kind,
            stage=Stage.PUBLISH,
            topic=procedure.topic,
            host=procedure.host,
            method=procedure.method,
            version=procedure.version,
            unique_id=request.unique_id,
            request=ask,
            msg_id=request.msg_id,
            reply_to=request.reply_to,
            traceparent=trace_of(headers),
            deadline=deadline_of(headers),
        )
        await chain(self._hooks, send)(envelope)

    def _plan(self, kind: Kind, procedure: Target) -> _Plan:
        if self._is_closed:
            raise NotConnected(f"{procedure.name}: this bus is closed")
        plan = self._plans.get(procedure.name)
        if plan is None:
            policy = self._settings.of(procedure.name, procedure.settings)
            metrics = self._metrics.of(procedure.name)
            plan = _Plan(kind, procedure, policy, metrics, self._settings.queue_type)
            self._plans[procedure.name] = plan
        return plan

    def _request(self, plan: _Plan, procedure: Target, ask: object) -> Request:
        if plan.split is None:
            args = encode(ask)
            request = Request(
                method=procedure.method,
                args=Raw(args),
                version=procedure.version,
                unique_id=f"{self._id_prefix}{next(self._ids):012x}",
            )
            request.weight = len(args)
            return request
        args, context = plan.split(ask)
        return Request(
            method=procedure.method,
            args=Raw(args),
            version=procedure.version,
            unique_id=f"{self._id_prefix}{next(self._ids):012x}",
            context=None if context is None else Raw(context),
            weight=len(args) + len(context or b""),
        )

    def _read(self, plan: _Plan, procedure: Call[Req, Res], to: Destination, answer: Answer, seconds: float) -> Res:
        if not isinstance(answer, Reply):
            if answer is Silence.UNROUTED:
                raise Unroutable(f"no queue takes messages for {to.name}")
            plan.metrics.events["timed_out"] += 1
            raise CallTimeout(f"{procedure.name} at {to.name} gave no answer within {seconds:g} s")
        if answer.failure is not None:
            raise self._failure(procedure, answer.failure)
        if plan.decode is None:
            raise TypeError(f"{procedure.name} is no call")
        try:
            result: Res = plan.decode(answer.result)
        except UNREADABLE as error:
            raise BadMessage(f"the answer of {procedure.name}: {error}") from error
        return result

    def _failure(self, procedure: Target, text: str) -> Exception:
        failure = unpack_failure(text)
        expected = None if failure.code is None else self._errors.decode(failure.code, failure.kwargs)
        if expected is not None:
            return expected
        misread = _MISREAD.get(failure.type_name)
        if misread is not None:
            return misread(failure.message or f"{procedure.name}: {failure.type_name}")
        return RemoteFailure(f"{procedure.name}: {failure.type_name}: {failure.message}")


def _changed(request: Request, ask: object) -> Request:
    """The request with what a hook put in place of it."""
    split = splitter(type(ask))
    args, context = (encode(ask), None) if split is None else split(ask)
    return msgspec.structs.replace(
        request,
        args=Raw(args),
        context=None if context is None else Raw(context),
        weight=len(args) + len(context or b""),
    )
