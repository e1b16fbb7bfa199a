"""Where a process's spans go, as its configuration wants it."""

import sys
from pathlib import Path

import msgspec
import pytest

from novaflow.config import Config
from novaflow.errors import Invalid
from rpc.tracing import Span, Tracer
from services.groups import one_error
from services.sinks import recording
from services.spans import read
from services.vitals import Vitals
from tests.support.collector import collecting


def config(**trace: object) -> Config:
    """The defaults, with these settings of [trace]."""
    return msgspec.convert({"trace": trace}, Config)


def names(directory: Path) -> list[str]:
    return [span.name for span in read(directory / "trace")]


async def test_a_span_goes_to_the_file_the_collector_and_the_counts(tmp_path: Path) -> None:
    vitals = Vitals("api")
    async with collecting() as collector, recording(config(otlp_endpoint=collector.url), vitals, tmp_path) as sink:
        Tracer("nova-api", sink).event("http.server", "GET /", {"method": "GET", "route": "/", "status": 200})

    assert names(tmp_path) == ["GET /"]
    assert [span.name for span in collector.spans] == ["GET /"]
    assert vitals.requests.answers == {("nova-api", "GET", "/", 200): 1}
    assert vitals.export is not None
    assert vitals.export.exported == 1


async def test_without_files_spans_still_go_to_the_collector(tmp_path: Path) -> None:
    async with (
        collecting() as collector,
        recording(config(enabled=False, otlp_endpoint=collector.url), Vitals("api"), tmp_path) as sink,
    ):
        Tracer("nova-api", sink).event("step", "think")

    assert [span.name for span in collector.spans] == ["think"]
    assert not (tmp_path / "trace").exists()


async def test_what_nobody_wants_goes_nowhere(tmp_path: Path) -> None:
    nothing = msgspec.convert({"trace": {"enabled": False}, "metrics": {"enabled": False}}, Config)
    vitals = Vitals("api")

    async with recording(nothing, vitals, tmp_path) as sink:
        sink.record(a_request())
        assert Tracer("nova-api", sink).is_silent

    assert not vitals.requests.answers
    assert list(tmp_path.iterdir()) == []


def a_request() -> Span:
    return Span(
        kind="http.server", name="GET /", service="s", trace_id="1" * 32, span_id="2" * 16, parent_id=None, start=0.0
    )


async def test_an_endpoint_without_the_extra_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "services.otlp", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)

    with (
        pytest.raises(Invalid, match=r"opentelemetry\S* is not installed: pip install 'novaflow\[otlp\]'"),
        one_error(),
    ):
        async with recording(config(otlp_endpoint="http://localhost:4318"), Vitals("api"), tmp_path):
            pass
