from uuid import UUID

from novaflow.lab.trace import of
from rpc.tracing import Span

SERVER = "5e6a0c3e-1f0d-4f5c-9a43-1d5f4d1f7a11"
LOGIN, ORDER, LOOK_1, LOOK_2, OTHER = (UUID(int=number).hex for number in range(1, 6))


def span(name: str, trace_id: str, start: float, parent: str | None = None, **attributes: object) -> Span:
    return Span(
        kind="http.server",
        name=name,
        service="test",
        trace_id=trace_id,
        span_id=name,
        parent_id=parent,
        start=start,
        attributes=dict(attributes),
    )


SPANS = [
    span("GET /servers/1", LOOK_2, 5.0, server_id=SERVER),
    span("cast build", ORDER, 2.5, parent="POST /servers", server_id=SERVER),
    span("POST /servers", ORDER, 2.0, server_id=SERVER, audit_id="a1"),
    span("POST /auth/tokens", LOGIN, 1.0, audit_id="a1"),
    span("GET /servers/1", LOOK_1, 4.0, server_id=SERVER),
    span("POST /flavors", OTHER, 3.0),
]


def test_a_servers_trace_begins_with_the_login_that_ordered_it_and_ends_with_the_last_look() -> None:
    hops = of(SPANS, SERVER)

    assert [(hop.span.name, hop.depth, hop.offset, hop.times) for hop in hops] == [
        ("POST /auth/tokens", 0, 0.0, 1),
        ("POST /servers", 0, 1.0, 1),
        ("cast build", 1, 1.5, 1),
        ("GET /servers/1", 0, 4.0, 2),
    ]


def test_a_request_is_found_by_the_id_that_the_client_saw() -> None:
    hops = of(SPANS, f"req-{UUID(OTHER)}")

    assert [hop.span.name for hop in hops] == ["POST /flavors"]


def test_nothing_is_known_of_what_was_never_seen() -> None:
    assert of(SPANS, "req-00000000-0000-0000-0000-00000000ffff") == []
