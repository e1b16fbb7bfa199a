"""The files in which spans wait to be read."""

import stat
from pathlib import Path

from rpc.tracing import Span, Tracer
from services.spans import SpanFile, read


def names(directory: Path) -> list[str]:
    """The names of all spans that can be read."""
    return [span.name for span in read(directory)]


def write(sink: SpanFile, *hops: str) -> None:
    """Record these hops and write them out."""
    tracer = Tracer("nova-api", sink)
    for name in hops:
        tracer.event("step", name, {"server_id": "s1"})
    sink.flush()


def test_a_span_is_read_as_it_was_recorded(tmp_path: Path) -> None:
    sink = SpanFile(tmp_path / "trace", "api", 10**6)
    span = Span(
        kind="db", name="n", service="s", trace_id="t", span_id="i", parent_id=None, start=1.5, attributes={"a": 1}
    )

    sink.record(span)
    sink.close()

    assert list(read(tmp_path / "trace")) == [span]


def test_only_the_owner_reads_spans(tmp_path: Path) -> None:
    SpanFile(tmp_path / "trace", "api", 10**6).close()

    assert stat.S_IMODE((tmp_path / "trace").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "trace" / "api.jsonl").stat().st_mode) == 0o600


def test_a_line_that_a_crash_cut_short_is_passed_over(tmp_path: Path) -> None:
    sink = SpanFile(tmp_path, "api", 10**6)
    write(sink, "first")
    sink.close()
    with (tmp_path / "api.jsonl").open("ab") as file:
        file.write(b'{"kind":"db","na\n')
    again = SpanFile(tmp_path, "api", 10**6)
    write(again, "second")
    again.close()

    assert names(tmp_path) == ["first", "second"]


def test_a_file_that_grew_too_large_is_put_aside_once(tmp_path: Path) -> None:
    sink = SpanFile(tmp_path, "api", 300)
    for number in range(20):
        write(sink, f"hop {number}")
    sink.close()

    assert sorted(path.name for path in tmp_path.iterdir()) == ["api.jsonl", "api.old.jsonl"]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 1200
    assert "hop 19" in names(tmp_path)


def test_a_full_disk_costs_spans_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "api.jsonl").symlink_to("/dev/full")
    sink = SpanFile(tmp_path, "api", 10**6)

    write(sink, "lost")

    assert sink._waiting == []
    sink.close()
