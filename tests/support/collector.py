"""An OpenTelemetry collector of a test's own: it takes spans by OTLP over HTTP and keeps them."""

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from services.web import serving


@dataclass(frozen=True, kw_only=True)
class Received:
    """One span as it came over the wire, ids in hex."""

    service: str
    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    start_nano: int
    end_nano: int
    status: int
    attributes: dict[str, object]


@dataclass
class Collector:
    """What arrived. While `trouble` is set, requests are answered with it and kept nowhere."""

    url: str = ""
    spans: list[Received] = field(default_factory=list)
    credentials: set[str] = field(default_factory=set)
    refused: int = 0
    trouble: HTTPStatus | None = None

    async def take(self, request: web.Request) -> web.Response:
        """POST /v1/traces."""
        assert request.content_type == "application/x-protobuf"
        body = await request.read()
        if self.trouble is not None:
            self.refused += 1
            return web.Response(status=self.trouble)
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.credentials.add(request.headers.get("Authorization", ""))
        self._keep(ExportTraceServiceRequest.FromString(body))
        return web.Response(
            body=ExportTraceServiceResponse().SerializeToString(), content_type="application/x-protobuf"
        )

    def _keep(self, told: ExportTraceServiceRequest) -> None:
        for resource in told.resource_spans:
            facts = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans.append(
                        Received(
                            service=facts["service.name"],
                            name=span.name,
                            kind=span.kind,
                            trace_id=span.trace_id.hex(),
                            span_id=span.span_id.hex(),
                            parent_id=span.parent_span_id.hex(),
                            start_nano=span.start_time_unix_nano,
                            end_nano=span.end_time_unix_nano,
                            status=span.status.code,
                            attributes={
                                pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value")
                                for pair in span.attributes
                            },
                        )
                    )


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """A collector that listens while the block runs."""
    collector = Collector()
    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/traces", collector.take)
    async with serving(app, "127.0.0.1", 0) as port:
        collector.url = f"http://127.0.0.1:{port}"
        yield collector
