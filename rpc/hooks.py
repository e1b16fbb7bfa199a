"""What can be put around every message: hook(envelope, forward).

A hook sees a message when it is published and when it is handled (`envelope.stage`) and calls `forward` once, later,
twice or never. Tracing has the same shape, but spans a call from question to answer, so the bus opens its spans itself.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager

from rpc.envelope import Envelope, Kind
from rpc.procedure import Target
from rpc.tracing import Position, Span, Tracer

Forward = Callable[[Envelope], Awaitable[None]]
Hook = Callable[[Envelope, Forward], Awaitable[None]]


def chain(hooks: Sequence[Hook], last: Forward) -> Forward:
    """One function that passes an envelope through all hooks, the first outermost, and then to `last`."""
    for hook in reversed(hooks):
        last = _around(hook, last)
    return last


def _around(hook: Hook, forward: Forward) -> Forward:
    async def passing(envelope: Envelope) -> None:
        await hook(envelope, forward)

    return passing


def publishing(tracer: Tracer, kind: Kind, procedure: Target, ask: object, target: str) -> AbstractContextManager[Span]:
    """The span of a message on its way: `cast scheduler.build_instances`."""
    attributes = _attributes(ask, target, procedure.host)
    return tracer.span("publish", f"{kind} {procedure.name}", attributes=attributes)


def handling(tracer: Tracer, envelope: Envelope, target: str) -> AbstractContextManager[Span]:
    """The span of a message where it is handled, below the one that it was published in."""
    parent = Position.parse(envelope.traceparent) if envelope.traceparent else None
    attributes = _attributes(envelope.request, target, envelope.host)
    return tracer.span("handle", envelope.name, parent=parent, attributes=attributes)


def _attributes(ask: object, target: str, host: str | None) -> dict[str, object]:
    attributes: dict[str, object] = {"target": target}
    for name in ("server_id", "task_id", "host", "event"):
        value = getattr(ask, name, None)
        if isinstance(value, str):
            attributes[name] = value
    if host is not None:
        attributes["host"] = host
    return attributes
