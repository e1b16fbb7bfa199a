"""The bus: what services call, order and answer to.

Each service has its own `Bus`; the buses of one process share a `Transport`. In durable delivery nothing that `cast`
accepted is lost, and every message may come twice: handlers must be safe to repeat, and so must calls.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from rpc.client import Client
from rpc.envelope import Kind
from rpc.errors import ErrorCodec
from rpc.hooks import Hook
from rpc.metrics import BusMetrics
from rpc.notifications import Notification, notify
from rpc.procedure import Call, Cast, Fanout, Req, Res
from rpc.server import Server
from rpc.settings import BusSettings
from rpc.tracing import Tracer
from rpc.transport import Transport

__all__ = ["Bus", "BusSettings"]


class Bus:
    """One service's place on the bus. `metrics` says what happened there so far, per procedure."""

    def __init__(
        self,
        transport: Transport,
        *,
        tracer: Tracer,
        errors: ErrorCodec,
        settings: BusSettings = BusSettings(),  # noqa: B008  # a frozen value
        hooks: Sequence[Hook] = (),
    ) -> None:
        self.metrics = BusMetrics()
        self._transport = transport
        self._client = Client(
            transport, tracer=tracer, errors=errors, settings=settings, hooks=hooks, metrics=self.metrics
        )
        self._server = Server(
            transport, tracer=tracer, errors=errors, settings=settings, hooks=hooks, metrics=self.metrics
        )

    @property
    def counts(self) -> Counter[str]:
        """What happened so far, over all procedures; see rpc.metrics."""
        return self.metrics.counts

    async def call(self, procedure: Call[Req, Res], ask: Req, *, timeout: float | None = None) -> Res:
        """Ask and wait for the answer, at most `timeout` seconds (default: the procedure's).

        Raises the handler's error if it is one that ErrorCodec knows, else RemoteFailure; CallTimeout, Unroutable when the
        host never existed, NotConnected when the broker stays away, BadMessage when either side cannot read the other.
        """
        return await self._client.call(procedure, ask, timeout)

    async def cast(self, procedure: Cast[Req], ask: Req) -> None:
        """Order and go on. In durable delivery the broker has confirmed the message when this returns.

        Raises Unroutable when the host never existed, NotConnected when the broker stays away or does not confirm in time
        (it may have got the message all the same).
        """
        await self._client.cast(procedure, ask)

    async def fanout(self, procedure: Fanout[Req], ask: Req) -> None:
        """Tell every server of the topic that is there now; raises NotConnected."""
        await self._client.fanout(procedure, ask)

    async def notify(self, topic: str, notification: Notification, *, now: datetime) -> None:
        """Tell whoever reads the queue of this topic and priority, now or later; raises NotConnected."""
        await notify(self._transport, topic, notification, now=now)

    def on_call(self, procedure: Call[Req, Res], handler: Callable[[Req], Awaitable[Res]]) -> None:
        """Answer this call with `handler`; raises ValueError when it has one."""
        self._server.register(Kind.CALL, procedure, procedure.request, handler)

    def on_cast(self, procedure: Cast[Req], handler: Callable[[Req], Awaitable[None]]) -> None:
        """Obey this cast with `handler`, which may see a message twice; raises ValueError when it has one.

        An error that ErrorCodec knows ends the message; any other is retried, then dead-lettered.
        """
        self._server.register(Kind.CAST, procedure, procedure.request, handler)

    def on_fanout(self, procedure: Fanout[Req], handler: Callable[[Req], Awaitable[None]]) -> None:
        """Hear this fanout with `handler`; raises ValueError when it has one."""
        self._server.register(Kind.FANOUT, procedure, procedure.request, handler)

    async def serve(self, topic: str, host: str | None = None) -> None:
        """Take messages for `topic`, for its server on `host`, and for all its servers. Register the handlers first."""
        await self._server.serve(topic, () if host is None else (host,))

    async def serve_hosts(self, topic: str, hosts: Sequence[str]) -> None:
        """The same as the server of all these hosts: thousands of them take seconds."""
        await self._server.serve(topic, hosts)

    async def close(self) -> None:
        """Take nothing new, let running handlers finish within the drain timeout, cancel the rest, ask nothing more."""
        await self._server.close()
        self._client.close()
