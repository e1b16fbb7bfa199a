"""Who caused what: spans that follow a request over HTTP, the bus, the database and the hypervisor.

A span is one hop with its duration. The current position in the trace is a context variable, as
in every tracing library, so that code far from the front door needs no extra argument. Trace and span
ids are W3C's (https://www.w3.org/TR/trace-context/): the trace id is the hex of the request's UUID, so
`req-<uuid>` in a response header finds the whole trace.
"""

import random
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, Protocol


@dataclass(frozen=True)
class Position:
    """Where in which trace the running code is: 32 and 16 hex digits."""

    trace_id: str
    span_id: str

    @property
    def traceparent(self) -> str:
        """The W3C header value, always sampled."""
        return f"00-{self.trace_id}-{self.span_id}-01"

    @classmethod
    def parse(cls, traceparent: str) -> "Position | None":
        """Read a W3C header; None for anything malformed, since a bad header must not fail a request."""
        parts = traceparent.strip().lower().split("-")
        if len(parts) < 4 or [len(part) for part in parts[:4]] != [2, 32, 16, 2]:
            return None
        if set("".join(parts[:4])) - set("0123456789abcdef") or set(parts[1]) == {"0"} or set(parts[2]) == {"0"}:
            return None
        return cls(parts[1], parts[2])


CURRENT: Final[ContextVar[Position | None]] = ContextVar("position", default=None)


@dataclass(kw_only=True)
class Span:
    """One hop: what happened (`name`), of which `kind`, when (`start`, epoch seconds) and for how long.

    `kind` is one of http.server, http.client, publish, handle, db, image, libvirt, step. `attributes` hold plain
    JSON values; `server_id` among them is what a trace is searched by.
    """

    kind: str
    name: str
    service: str
    trace_id: str
    span_id: str
    parent_id: str | None
    start: float
    seconds: float = 0.0
    outcome: str = "ok"
    attributes: dict[str, object] = field(default_factory=dict)


class SpanSink(Protocol):
    """Where finished spans go. Recording must never fail or block the traced work."""

    def record(self, span: Span) -> None:
        """Take one finished span."""
        ...


class Discard:
    """The sink of a process that is not traced."""

    def record(self, span: Span) -> None:
        """Forget the span."""


class Tracer:
    """Opens spans for one service and hands them, finished, to a sink."""

    def __init__(self, service: str, sink: SpanSink) -> None:
        self._service = service
        self._sink = sink
        # Identifiers must differ, not be unguessable: this costs a tenth of asking the kernel for each.
        self._random = random.Random(secrets.randbits(256))  # noqa: S311
        self.is_silent = isinstance(sink, Discard)  # nobody would see a span, so none need be made

    @contextmanager
    def span(
        self,
        kind: str,
        name: str,
        *,
        parent: Position | None = None,
        attributes: Mapping[str, object] | None = None,
    ) -> Iterator[Span]:
        """Run a block as one hop below `parent` (default: the current position, or a new trace)."""
        above = parent or CURRENT.get()
        here = Position(above.trace_id if above else self._identifier(32), self._identifier(16))
        span = Span(
            kind=kind,
            name=name,
            service=self._service,
            trace_id=here.trace_id,
            span_id=here.span_id,
            parent_id=(above.span_id or None) if above else None,
            start=time.time(),
            attributes=dict(attributes or {}),
        )
        token = CURRENT.set(here)
        began = time.perf_counter()
        try:
            yield span
        except BaseException as error:
            span.outcome = type(error).__name__
            raise
        finally:
            CURRENT.reset(token)
            span.seconds = time.perf_counter() - began
            self._sink.record(span)

    def event(self, kind: str, name: str, attributes: Mapping[str, object] | None = None) -> None:
        """Record something that took no time of its own."""
        with self.span(kind, name, attributes=attributes):
            pass

    def _identifier(self, digits: int) -> str:
        return f"{self._random.getrandbits(digits * 4) or 1:0{digits}x}"
