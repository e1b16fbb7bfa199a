"""Spans for an OpenTelemetry collector, by OTLP over HTTP. Imported only where `trace.otlp_endpoint` says so; needs `novaflow[otlp]`.

The spans keep our ids, parents and times; the OpenTelemetry SDK batches them in a thread of its own and sends them, so the traced
work neither waits nor fails. Between the two is a bounded queue: what does not fit, or cannot be delivered, is counted.
The SDK's own environment variables hold (OTEL_EXPORTER_OTLP_HEADERS for a token, ..._CERTIFICATE, OTEL_RESOURCE_ATTRIBUTES).
Attribute names: https://opentelemetry.io/docs/specs/semconv/ where it has one, else `novaflow.<name>`.
"""

import base64
import logging
import os
import socket
import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from novaflow import __version__
from novaflow.errors import Invalid
from rpc.tracing import Span

QUEUE: Final = 8192  # spans that may wait; a few seconds of a busy process
_BATCH: Final = 512
_DELAY: Final = 1000.0  # milliseconds a span waits for others to go with it
_SEND_TIMEOUT: Final = 10.0  # seconds one batch may take, tries included
_PATH: Final = "/v1/traces"
_OK: Final = "ok"
_NANO: Final = 1_000_000_000
_LIBRARIES: Final = (
    "opentelemetry.exporter.otlp.common.http",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.sdk._shared_internal",
)
_KINDS: Final = {
    "http.server": SpanKind.SERVER,
    "http.client": SpanKind.CLIENT,
    "image": SpanKind.CLIENT,
    "db": SpanKind.CLIENT,
    "libvirt": SpanKind.CLIENT,
    "publish": SpanKind.PRODUCER,
    "handle": SpanKind.CONSUMER,
}
_NAMES: Final = {
    "method": "http.request.method",
    "route": "http.route",
    "status": "http.response.status_code",
    "target": "messaging.destination.name",
}
_SCOPE: Final = InstrumentationScope("novaflow", __version__)
log = logging.getLogger(__name__)


class OtlpSpans:
    """A sink that sends every span to the collector at `endpoint`, as a process of this name. Raises Invalid.

    A URL without a path gets OTLP's (`/v1/traces`); a user and password in it are sent as such and shown nowhere.
    """

    def __init__(self, endpoint: str, process: str, queue: int = QUEUE) -> None:
        url, headers = _address(endpoint)
        _quiet_libraries()
        self._process = process
        self._exporter = _Delivery(OTLPSpanExporter(endpoint=url, headers=headers, timeout=_SEND_TIMEOUT), url)
        self._processor = BatchSpanProcessor(
            self._exporter, max_queue_size=queue + _BATCH, schedule_delay_millis=_DELAY, max_export_batch_size=_BATCH
        )
        self._queue = queue
        self._given = 0
        self.overflowed = 0

    @property
    def exported(self) -> int:
        """Spans the collector has accepted."""
        return self._exporter.delivered

    @property
    def undelivered(self) -> int:
        """Spans the collector did not accept."""
        return self._exporter.lost

    def record(self, span: Span) -> None:
        """Take one finished span; drop it when too many wait."""
        # The SDK's queue forgets in silence; this bound is reached first, and counted.
        if self._given - self._exporter.taken >= self._queue:
            self.overflowed += 1
            return
        self._given += 1
        self._processor.on_end(translated(span, self._process))

    def close(self, timeout: float) -> None:
        """Send what waits, for at most `timeout` seconds; blocks. What is left then is lost, and said."""
        # The SDK would wait for half a minute; its thread dies with the process.
        closing = threading.Thread(target=self._processor.shutdown, name="close otlp", daemon=True)
        closing.start()
        closing.join(timeout)
        if closing.is_alive():
            self._exporter.give_up()
        left = self._given - self._exporter.delivered
        if left or self.overflowed:
            log.warning("%d spans were not delivered to the collector", left + self.overflowed)


class _Delivery(SpanExporter):
    """Counts what the SDK's exporter does, and says once when the collector goes away and when it is back."""

    def __init__(self, exporter: OTLPSpanExporter, url: str) -> None:
        self._exporter = exporter
        parts = urlsplit(url)
        self._where = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
        self._is_away = False
        self._has_ended = False
        self.taken = self.delivered = self.lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send one batch; called by the SDK's thread."""
        self.taken += len(spans)
        result = self._exporter.export(spans)
        is_away = result is not SpanExportResult.SUCCESS
        if is_away:
            self.lost += len(spans)
        else:
            self.delivered += len(spans)
        if is_away is not self._is_away:
            log.warning(
                "the collector at %s %s", self._where, "does not take spans" if is_away else "takes spans again"
            )
        self._is_away = is_away
        return result

    def shutdown(self) -> None:
        """Nothing more will be sent."""
        self.give_up()

    def give_up(self) -> None:
        """Stop trying."""
        if not self._has_ended:
            self._has_ended = True
            self._exporter.shutdown()  # type: ignore[no-untyped-call]


def translated(span: Span, process: str) -> ReadableSpan:
    """The span as OpenTelemetry has it, its ids, parent and times unchanged."""
    seconds, fraction = divmod(span.start, 1)  # apart, since a float has no room for both
    start = int(seconds) * _NANO + round(fraction * _NANO)
    kind = _KINDS.get(span.kind, SpanKind.INTERNAL)
    return ReadableSpan(
        name=span.name,
        context=_context(span.trace_id, span.span_id, is_remote=False),
        # What a server or a consumer continues was begun elsewhere.
        parent=_context(span.trace_id, span.parent_id, is_remote=kind in (SpanKind.SERVER, SpanKind.CONSUMER))
        if span.parent_id
        else None,
        resource=_resource(span.service, process),
        attributes=_attributes(span),
        kind=kind,
        status=_status(span),
        start_time=start,
        end_time=start + round(span.seconds * _NANO),
        instrumentation_scope=_SCOPE,
    )


def _context(trace_id: str, span_id: str, *, is_remote: bool) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote, TraceFlags(TraceFlags.SAMPLED))


@lru_cache(maxsize=64)
def _resource(service: str, process: str) -> Resource:
    return Resource.create(
        {
            "service.namespace": "novaflow",
            "service.name": service,
            "service.version": __version__,
            "service.instance.id": f"{socket.gethostname()}/{process}/{os.getpid()}",
        }
    )


def _attributes(span: Span) -> Mapping[str, str | bool | int | float]:
    found: dict[str, str | bool | int | float] = {"novaflow.kind": span.kind}
    for name, value in span.attributes.items():
        if value is not None:
            found[_NAMES.get(name, f"novaflow.{name}")] = value if isinstance(value, str | int | float) else str(value)
    return found


def _status(span: Span) -> Status:
    """An error, unless it is one that a server told its client of: that is the client's (semantic conventions, HTTP)."""
    status = span.attributes.get("status")
    is_clients = span.kind == "http.server" and isinstance(status, int) and status < HTTPStatus.INTERNAL_SERVER_ERROR
    if span.outcome == _OK or is_clients:
        return Status(StatusCode.UNSET)
    return Status(StatusCode.ERROR, span.outcome)


def _address(endpoint: str) -> tuple[str, dict[str, str]]:
    """Where to send, and as whom; no error repeats the endpoint, since it may hold a password."""
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        raise Invalid(reason="trace.otlp_endpoint is malformed: is its password percent-encoded?") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Invalid(reason="trace.otlp_endpoint must be a URL such as http://localhost:4318")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    bare = parts._replace(netloc=f"{host}:{port}" if port else host, path=parts.path.rstrip("/") or _PATH)
    return bare.geturl(), _credentials(parts)


def _credentials(parts: SplitResult) -> dict[str, str]:
    if not parts.username:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _quiet_libraries() -> None:
    """They repeat every failure with its URL; it is said here, once."""
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.CRITICAL)
