"""Spans on their way to a collector that really listens."""

import asyncio
import base64
import logging
import socket
import time
from http import HTTPStatus

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from novaflow.errors import Invalid
from rpc.tracing import Span, Tracer
from services.otlp import OtlpSpans, translated
from tests.support.bus import until
from tests.support.collector import collecting

TRACE = "0af7651916cd43dd8448eb211c80319c"


def span(**facts: object) -> Span:
    """A finished span with these facts."""
    plain: dict[str, object] = {
        "kind": "db",
        "name": "claim",
        "service": "nova-scheduler",
        "trace_id": TRACE,
        "span_id": "b7ad6b7169203331",
        "parent_id": "00f067aa0ba902b7",
        "start": 1700000000.25,
        "seconds": 0.5,
    }
    return Span(**(plain | facts))  # type: ignore[arg-type]


async def close(sink: OtlpSpans, timeout: float = 10.0) -> None:
    """As the process does that ends."""
    await asyncio.to_thread(sink.close, timeout)


async def test_spans_arrive_with_our_ids_parents_and_times() -> None:
    async with collecting() as collector:
        sink = OtlpSpans(collector.url, "api")
        sink.record(span())
        sink.record(span(span_id="00000000000000aa", parent_id=None, service="nova-api"))
        await close(sink)

    found = {one.span_id: one for one in collector.spans}
    child, root = found["b7ad6b7169203331"], found["00000000000000aa"]
    assert (child.trace_id, child.parent_id, child.service) == (TRACE, "00f067aa0ba902b7", "nova-scheduler")
    assert (child.start_nano, child.end_nano) == (1700000000_250_000_000, 1700000000_750_000_000)
    assert (root.parent_id, root.service) == ("", "nova-api")
    assert (sink.exported, sink.undelivered, sink.overflowed) == (2, 0, 0)


async def test_what_a_tracer_nests_is_nested_there() -> None:
    async with collecting() as collector:
        sink = OtlpSpans(collector.url, "api")
        tracer = Tracer("nova-api", sink)
        with tracer.span("http.server", "POST /servers"):
            tracer.event("db", "new -> building", {"server_id": "s1"})
        await close(sink)

    by_name = {one.name: one for one in collector.spans}
    inner, outer = by_name["new -> building"], by_name["POST /servers"]
    assert (inner.parent_id, inner.trace_id) == (outer.span_id, outer.trace_id)
    assert inner.attributes == {"novaflow.kind": "db", "novaflow.server_id": "s1"}


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("http.server", SpanKind.SERVER),
        ("http.client", SpanKind.CLIENT),
        ("publish", SpanKind.PRODUCER),
        ("handle", SpanKind.CONSUMER),
        ("libvirt", SpanKind.CLIENT),
        ("step", SpanKind.INTERNAL),
    ],
)
def test_a_hop_has_the_kind_that_others_know_it_by(kind: str, shown: SpanKind) -> None:
    found = translated(span(kind=kind), "api")

    assert found.kind is shown
    assert found.parent is not None
    assert found.parent.is_remote == (shown in (SpanKind.SERVER, SpanKind.CONSUMER))


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({}, StatusCode.UNSET),
        ({"outcome": "NoValidHost"}, StatusCode.ERROR),
        ({"kind": "http.server", "outcome": "Not Found", "attributes": {"status": 404}}, StatusCode.UNSET),
        ({"kind": "http.server", "outcome": "Bad Gateway", "attributes": {"status": 502}}, StatusCode.ERROR),
        ({"kind": "http.client", "outcome": "Not Found", "attributes": {"status": 404}}, StatusCode.ERROR),
    ],
)
def test_a_client_s_mistake_is_no_error_of_the_server(facts: dict[str, object], code: StatusCode) -> None:
    assert translated(span(**facts), "api").status.status_code is code


def test_attributes_have_the_names_that_others_know_them_by() -> None:
    attributes = {
        "status": 202,
        "route": "/servers",
        "method": "POST",
        "target": "scheduler",
        "hosts": [1],
        "host": None,
    }

    assert translated(span(attributes=attributes), "api").attributes == {
        "novaflow.kind": "db",
        "http.response.status_code": 202,
        "http.route": "/servers",
        "http.request.method": "POST",
        "messaging.destination.name": "scheduler",
        "novaflow.hosts": "[1]",
    }


async def test_a_password_in_the_address_is_sent_and_never_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with collecting() as collector:
        url = collector.url.replace("://", "://novaflow:s%40cret@")
        sink = OtlpSpans(url, "api")
        sink.record(span())
        await until(lambda: sink.exported == 1)
        collector.trouble = HTTPStatus.UNAUTHORIZED
        sink.record(span())
        await close(sink)

    assert collector.credentials == {f"Basic {base64.b64encode(b'novaflow:s@cret').decode()}"}
    assert sink.undelivered == 1
    said = "\n".join(record.getMessage() for record in caplog.records)
    assert "does not take spans" in said
    assert "cret" not in said


@pytest.mark.parametrize(
    "endpoint", ["localhost:4318", "grpc://u:secret@host:4317", "http://u:secret@host:port/", "http://"]
)
def test_an_address_that_cannot_be_is_refused_without_repeating_it(endpoint: str) -> None:
    with pytest.raises(Invalid, match=r"trace\.otlp_endpoint") as refused:
        OtlpSpans(endpoint, "api")

    assert "secret" not in str(refused.value)


async def test_an_address_with_a_path_is_taken_as_it_is() -> None:
    async with collecting() as collector:
        sink = OtlpSpans(f"{collector.url}/v1/traces", "api")
        sink.record(span())
        await close(sink)

    assert len(collector.spans) == 1


async def test_a_collector_that_is_away_costs_spans_and_no_time(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        sink = OtlpSpans(f"http://127.0.0.1:{nobody.getsockname()[1]}", "api")
        began = time.perf_counter()
        for _ in range(200):
            sink.record(span())
        recorded = time.perf_counter() - began
        await close(sink, timeout=0.5)
        await until(lambda: sink.undelivered == 200)
        closed = time.perf_counter() - began

    assert recorded < 0.5
    assert closed < 8.0
    assert sink.exported == 0
    assert "200 spans were not delivered" in caplog.text


async def test_a_collector_that_never_answers_does_not_hold_up_the_end() -> None:
    silent = asyncio.Event()

    async def listen(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silent.wait()
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
        sink = OtlpSpans(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "api")
        sink.record(span())
        began = time.perf_counter()
        await close(sink, timeout=0.3)
        took = time.perf_counter() - began
        silent.set()
        await until(lambda: sink.undelivered == 1)

    assert took < 3.0


async def test_too_many_spans_are_dropped_and_counted() -> None:
    async with collecting() as collector:
        sink = OtlpSpans(collector.url, "api", queue=10)
        for number in range(25):
            sink.record(span(span_id=f"{number + 1:016x}"))
        await close(sink)

    assert (sink.exported, sink.overflowed) == (10, 15)
    assert {one.span_id for one in collector.spans} == {f"{number + 1:016x}" for number in range(10)}


async def test_a_collector_that_comes_back_gets_what_came_after(caplog: pytest.LogCaptureFixture) -> None:
    async with collecting() as collector:
        collector.trouble = HTTPStatus.BAD_REQUEST
        sink = OtlpSpans(collector.url, "api")
        sink.record(span())
        await until(lambda: sink.undelivered == 1)
        collector.trouble = None
        sink.record(span(span_id="00000000000000bb"))
        await close(sink)

    assert [one.span_id for one in collector.spans] == ["00000000000000bb"]
    assert (sink.exported, sink.undelivered) == (1, 1)
    assert "does not take spans" in caplog.text
    assert "takes spans again" in caplog.text
