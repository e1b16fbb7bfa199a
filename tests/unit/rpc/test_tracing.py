import random
import re

import pytest

from rpc.tracing import CURRENT, Discard, Position, Span, Tracer


class Spans:
    def __init__(self) -> None:
        self.seen: list[Span] = []

    def record(self, span: Span) -> None:
        self.seen.append(span)


def test_identifiers_are_w3cs_and_differ() -> None:
    sink = Spans()
    for _ in range(2):
        tracer = Tracer("api", sink)
        for _ in range(2000):
            tracer.event("step", "s")

    traces = {span.trace_id for span in sink.seen}
    spans = {span.span_id for span in sink.seen}
    assert len(traces) == len(spans) == 4000
    assert all(re.fullmatch("[0-9a-f]{32}", trace_id) for trace_id in traces)
    assert all(re.fullmatch("[0-9a-f]{16}", span_id) for span_id in spans)


@pytest.mark.parametrize("drawn", [0, 1])
def test_an_identifier_has_all_its_digits_and_is_never_zero(monkeypatch: pytest.MonkeyPatch, drawn: int) -> None:
    sink = Spans()
    tracer = Tracer("api", sink)
    monkeypatch.setattr(random.Random, "getrandbits", lambda _self, _bits: drawn)

    tracer.event("step", "s")

    (span,) = sink.seen
    assert Position.parse(f"00-{span.trace_id}-{span.span_id}-01") == Position("0" * 31 + "1", "0" * 15 + "1")


def test_a_position_travels_as_a_header() -> None:
    sink = Spans()
    with Tracer("api", sink).span("publish", "p"):
        here = CURRENT.get()

    assert here is not None
    assert Position.parse(here.traceparent) == here
    assert Position.parse(f"  {here.traceparent.upper()} ") == here


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "00",
        "00-a-b-01",
        f"00-{'0' * 32}-{'1' * 16}-01",
        f"00-{'1' * 32}-{'0' * 16}-01",
        f"00-{'g' * 32}-{'1' * 16}-01",
    ],
)
def test_a_malformed_position_is_none(traceparent: str) -> None:
    assert Position.parse(traceparent) is None


def test_spans_in_spans_share_a_trace_and_name_their_parents() -> None:
    sink = Spans()
    tracer = Tracer("api", sink)
    with tracer.span("publish", "outer") as outer:
        tracer.event("step", "inner")
        far = Position("a" * 32, "b" * 16)
        with tracer.span("handle", "elsewhere", parent=far):
            pass

    inner, elsewhere, last = sink.seen
    assert last is outer
    assert (inner.trace_id, inner.parent_id) == (outer.trace_id, outer.span_id)
    assert (elsewhere.trace_id, elsewhere.parent_id) == (far.trace_id, far.span_id)
    assert outer.parent_id is None
    assert CURRENT.get() is None


def test_a_failed_span_says_by_what_and_lets_it_pass() -> None:
    sink = Spans()

    with pytest.raises(KeyError), Tracer("api", sink).span("db", "d"):
        raise KeyError("x")

    assert [span.outcome for span in sink.seen] == ["KeyError"]


def test_a_tracer_that_nobody_listens_to_says_so() -> None:
    assert Tracer("api", Discard()).is_silent
    assert not Tracer("api", Spans()).is_silent
