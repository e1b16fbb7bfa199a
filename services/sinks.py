"""Where the spans of one process go: to the file that `novaflow trace` reads, to a collector, and to be counted.

None of them can hold up or fail the work that is traced.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from novaflow.config import Config
from novaflow.errors import Invalid
from rpc.tracing import Discard, Span, SpanSink
from services.spans import SpanFile
from services.vitals import Vitals

if TYPE_CHECKING:
    from services.otlp import OtlpSpans

_FLUSH_INTERVAL: Final = 0.2  # seconds a span may wait before it can be read
_LAST_MOMENT: Final = 5.0  # seconds a process that ends waits for the collector


class Several:
    """A sink that gives every span to all of `sinks`."""

    def __init__(self, sinks: Sequence[SpanSink]) -> None:
        self._sinks = tuple(sinks)

    def record(self, span: Span) -> None:
        """Take one finished span."""
        for sink in self._sinks:
            sink.record(span)


@asynccontextmanager
async def recording(config: Config, vitals: Vitals, state_dir: Path) -> AsyncIterator[SpanSink]:
    """The process's sink, as the configuration wants it; leaving writes and sends what waits.

    Raises Invalid; what the block raises comes out in an exception group.
    """
    sinks: list[SpanSink] = []
    async with AsyncExitStack() as stack:
        if config.metrics.enabled:
            sinks.append(vitals.requests)
        if config.trace.otlp_endpoint:
            vitals.export = export = _export(config.trace.otlp_endpoint, vitals.process)
            stack.push_async_callback(asyncio.to_thread, export.close, _LAST_MOMENT)
            sinks.append(export)
        if config.trace.enabled:
            file = SpanFile(state_dir / "trace", vitals.process, config.trace.max_bytes)
            stack.callback(file.close)
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            stack.callback(tasks.create_task(_flush(file), name="flush spans").cancel)
            sinks.append(file)
        yield _one(sinks)


def _one(sinks: Sequence[SpanSink]) -> SpanSink:
    match sinks:
        case []:
            return Discard()
        case [sink]:
            return sink
        case _:
            return Several(sinks)


async def _flush(sink: SpanFile) -> None:
    while True:
        await asyncio.sleep(_FLUSH_INTERVAL)
        sink.flush()


def _export(endpoint: str, process: str) -> "OtlpSpans":
    try:
        # Imported on demand: it is an extra, and takes a quarter of a second.
        from services.otlp import OtlpSpans
    except ImportError as error:
        missing = error.name or "OpenTelemetry"
        raise Invalid(
            reason=f"trace.otlp_endpoint is set, but {missing} is not installed: pip install 'novaflow[otlp]'"
        ) from error
    return OtlpSpans(endpoint, process)
