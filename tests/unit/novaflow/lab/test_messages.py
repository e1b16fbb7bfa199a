"""Counting messages in the spans of a trace."""

from novaflow.lab.messages import sent
from rpc.tracing import Span


def span(kind: str, name: str, start: float = 10.0, **attributes: object) -> Span:
    return Span(
        kind=kind,
        name=name,
        service="nova-compute",
        trace_id="1" * 32,
        span_id="2" * 16,
        parent_id=None,
        start=start,
        attributes=attributes,
    )


def test_a_cast_is_one_message_and_a_call_is_a_question_and_an_answer() -> None:
    spans = [
        span("publish", "cast scheduler.build_instances", server_id="s"),
        span("publish", "call conductor.start_build", server_id="s"),
        span("publish", "call conductor.start_build", server_id="t"),
        span("handle", "conductor.start_build", server_id="s"),
    ]

    assert sent(spans, since=10.0) == {"cast scheduler.build_instances": 1, "call conductor.start_build": 4}


def test_what_was_sent_before_or_is_about_no_server_is_not_counted() -> None:
    spans = [
        span("publish", "cast scheduler.build_instances", start=9.9, server_id="s"),
        span("publish", "call conductor.heartbeat", host="c1"),
    ]

    assert sent(spans, since=10.0) == {}
