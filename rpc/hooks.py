"""What can be put around every message: hook(envelope, forward).

A hook sees a message when it is published and when it is handled (`envelope.stage`) and calls `forward` once, later,
twice or never. Tracing has the same shape, but spans a call from question to answer, so the bus opens its spans itself.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

from rpc.envelope import Envelope, Stage
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


@contextmanager
def spanning(tracer: Tracer, envelope: Envelope, target: str) -> Iterator[Span]:
    """Run a block as the span of this message: `cast scheduler.build_instances`, or the procedure where it is handled."""
    attributes: dict[str, object] = {"target": target}
    for name in ("server_id", "task_id", "host", "event"):
        value = getattr(envelope.request, name, None)
        if isinstance(value, str):
            attributes[name] = value
    if envelope.host is not None:
        attributes["host"] = envelope.host
    if envelope.stage is Stage.PUBLISH:
        with tracer.span("publish", f"{envelope.kind} {envelope.name}", attributes=attributes) as span:
            yield span
    else:
        parent = Position.parse(envelope.traceparent) if envelope.traceparent else None
        with tracer.span("handle", envelope.name, parent=parent, attributes=attributes) as span:
            yield span
