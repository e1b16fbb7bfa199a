"""The asking side of a bus: calls, casts and fanouts."""

import asyncio
import itertools
import secrets
import time
from collections import Counter
from collections.abc import Sequence

import msgspec

from rpc.envelope import Envelope, Kind, Reply, Stage, pack, unpack_failure
from rpc.errors import BadMessage, CallTimeout, ErrorCodec, NotConnected, RemoteFailure
from rpc.hooks import Hook, chain, spanning
from rpc.procedure import Call, Cast, Fanout, Req, Res, Target
from rpc.replies import Answer, Silence
from rpc.settings import BusSettings
from rpc.tracing import CURRENT, Tracer
from rpc.transport import Destination, Message, Transport, destination, everyone


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
        counts: Counter[str],
    ) -> None:
        self._transport = transport
        self._tracer = tracer
        self._errors = errors
        self._settings = settings
        self._hooks = hooks
        self._counts = counts
        # One random draw per client instead of one per message: 32 hex digits as oslo.messaging has them.
        self._id_prefix = secrets.token_hex(10)
        self._ids = itertools.count(1)
        self._is_closed = False

    async def call(self, procedure: Call[Req, Res], ask: Req, timeout: float | None) -> Res:
        """Ask and wait; see Bus.call."""
        seconds = procedure.timeout if timeout is None else timeout
        self._check_open(procedure)
        if seconds <= 0:
            raise CallTimeout(f"{procedure.name} was given no time")
        to = destination(procedure.topic, procedure.host)
        envelope = self._envelope(Kind.CALL, procedure, ask, deadline=time.time() + seconds)
        with spanning(self._tracer, envelope, to.name):
            answer = await self._converse(envelope, to, seconds)
            if isinstance(answer, Silence):
                self._counts["timed_out"] += 1
                raise CallTimeout(f"{procedure.name} at {to.name} gave no answer within {seconds:g} s")
            return self._read(procedure, answer)

    async def cast(self, procedure: Cast[Req], ask: Req) -> None:
        """Order and go on; see Bus.cast."""
        to = destination(procedure.topic, procedure.host)
        await self._order(self._envelope(Kind.CAST, procedure, ask), to)

    async def fanout(self, procedure: Fanout[Req], ask: Req) -> None:
        """Tell everybody; see Bus.fanout."""
        await self._order(self._envelope(Kind.FANOUT, procedure, ask), everyone(procedure.topic))

    def close(self) -> None:
        """Ask nothing more."""
        self._is_closed = True

    async def _order(self, envelope: Envelope, to: Destination) -> None:
        self._check_open(envelope)
        with spanning(self._tracer, envelope, to.name):
            await self._publish(envelope, to, self._settings.publish_timeout)

    async def _converse(self, envelope: Envelope, to: Destination, seconds: float) -> Answer:
        """Publish the question until an answer comes or the time is over."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        msg_id = envelope.unique_id
        replies = self._transport.replies
        patience = self._settings.publish_timeout
        try:
            while (left := ends - loop.time()) > 0:
                reply_to = await self._transport.reply_queue(timeout=min(left, patience))
                envelope = msgspec.structs.replace(envelope, msg_id=msg_id, reply_to=reply_to)
                future = replies.expect(msg_id)
                alarm = loop.call_at(ends, _give_up, future)
                try:
                    await self._publish(envelope, to, min(left, patience))
                    answer = await future
                finally:
                    alarm.cancel()
                if answer is not Silence.LOST:
                    return answer
                # The question may be lost, or only the answer. Calls are safe to repeat, so it is asked again.
                self._counts["asked_again"] += 1
            return Silence.TIMEOUT
        finally:
            replies.forget(msg_id)

    async def _publish(self, envelope: Envelope, to: Destination, timeout: float) -> None:
        position = CURRENT.get()
        if position is not None:
            envelope = msgspec.structs.replace(envelope, traceparent=position.traceparent)

        async def send(envelope: Envelope) -> None:
            await self._transport.publish(to, self._message(envelope), timeout=timeout)
            self._counts["published"] += 1

        await chain(self._hooks, send)(envelope)

    def _message(self, envelope: Envelope) -> Message:
        is_durable = self._settings.is_durable
        return Message(
            body=pack(envelope, self._settings.max_message_bytes),
            headers=envelope.headers,
            # A call that is lost with the broker is asked again: only casts are worth the disk.
            persistent=is_durable and envelope.kind is Kind.CAST,
            assured=is_durable,
            ttl=None if envelope.deadline is None else max(envelope.deadline - time.time(), 0.001),
        )

    def _envelope(self, kind: Kind, procedure: Target, ask: object, deadline: float | None = None) -> Envelope:
        return Envelope(
            kind=kind,
            stage=Stage.PUBLISH,
            topic=procedure.topic,
            host=procedure.host,
            method=procedure.method,
            version=procedure.version,
            unique_id=f"{self._id_prefix}{next(self._ids):012x}",
            request=ask,
            deadline=deadline,
        )

    def _read(self, procedure: Call[Req, Res], reply: Reply) -> Res:
        if reply.failure is not None:
            raise self._failure(procedure, reply.failure)
        try:
            return msgspec.json.decode(reply.result, type=procedure.reply)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise BadMessage(f"the answer of {procedure.name}: {error}") from error

    def _failure(self, procedure: Target, text: str) -> Exception:
        failure = unpack_failure(text)
        expected = None if failure.code is None else self._errors.decode(failure.code, failure.kwargs)
        if expected is not None:
            return expected
        if failure.type_name == BadMessage.__name__:
            return BadMessage(failure.message)
        return RemoteFailure(f"{procedure.name}: {failure.type_name}: {failure.message}")

    def _check_open(self, asked: Target | Envelope) -> None:
        if self._is_closed:
            raise NotConnected(f"{asked.name}: this bus is closed")


def _give_up(future: asyncio.Future[Answer]) -> None:
    if not future.done():
        future.set_result(Silence.TIMEOUT)
