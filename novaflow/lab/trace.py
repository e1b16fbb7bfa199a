"""What a request caused, hop by hop: chosen and put in order from the spans that the processes wrote.

For a server that is every request that changed it, the issue of the token that ordered it, and the last look that a
client took. Polling a server leaves one trace a look; only the last of a run of looks is kept, with their number.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

from rpc.tracing import Span

_READS = ("GET ", "HEAD ")


@dataclass(frozen=True)
class Hop:
    """One line of a trace: a span, how deep below its request, seconds since the first hop, and how often."""

    span: Span
    depth: int
    offset: float
    times: int = 1


def of(spans: Iterable[Span], what: str) -> list[Hop]:
    """The hops that `what` (a server id, a request id `req-<uuid>`, or a trace id) caused, oldest first."""
    every = list(spans)
    wanted = _traces_of(every, what)
    chosen = [span for span in every if span.trace_id in wanted or span.attributes.get("audit_id") in wanted]
    return _in_order(_fold_reads(chosen))


def _traces_of(spans: list[Span], what: str) -> set[object]:
    """The trace ids that belong to `what`, and the audit ids of the tokens used in them."""
    trace_id = _trace_id(what)
    if trace_id is not None and any(span.trace_id == trace_id for span in spans):
        found: set[object] = {trace_id}
    else:
        found = {span.trace_id for span in spans if span.attributes.get("server_id") == what}
    tokens = {span.attributes["audit_id"] for span in spans if span.trace_id in found and "audit_id" in span.attributes}
    issues = {
        span.trace_id for span in spans if span.attributes.get("audit_id") in tokens and span.name.startswith("POST ")
    }
    return found | issues


def _trace_id(what: str) -> str | None:
    try:
        return UUID(what.removeprefix("req-")).hex
    except ValueError:
        return None


def _fold_reads(spans: list[Span]) -> list[tuple[Span, int]]:
    """Each span with a count; of a run of traces that only read, the last stands for all."""
    roots = sorted((span for span in spans if span.parent_id is None), key=lambda span: span.start)
    folded: dict[str, int] = {}
    dropped: set[str] = set()
    previous: Span | None = None
    for root in roots:
        if previous is not None and _is_read(root) and root.name == previous.name:
            folded[root.trace_id] = folded.pop(previous.trace_id, 1) + 1
            dropped.add(previous.trace_id)
        previous = root if _is_read(root) else None
    return [
        (span, folded.get(span.trace_id, 1) if span.parent_id is None else 1)
        for span in spans
        if span.trace_id not in dropped and not (span.parent_id and span.trace_id in folded)
    ]


def _is_read(root: Span) -> bool:
    return root.kind == "http.server" and root.name.startswith(_READS)


def _in_order(counted: list[tuple[Span, int]]) -> list[Hop]:
    if not counted:
        return []
    parents = {span.span_id: span.parent_id for span, _ in counted}
    began = min(span.start for span, _ in counted)
    ordered = sorted(counted, key=lambda item: item[0].start)
    return [Hop(span, sum(1 for _ in _above(span, parents)), span.start - began, times) for span, times in ordered]


def _above(span: Span, parents: dict[str, str | None]) -> Iterator[str]:
    above = span.parent_id
    while above is not None and above in parents:
        yield above
        above = parents[above]
