"""What a process shows Prometheus: its `Vitals` as metric families, and what the client library knows of the process.

Names follow https://prometheus.io/docs/practices/naming/: one counter per event, since a sum over different events would
mean nothing; times in seconds; every series of the bus carries the service and the procedure. docs/observability.md lists
them all, and a test keeps the two alike. Imported at the first scrape, so that a process starts without the library.
"""

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from novaflow import __version__
from rpc.metrics import BUCKETS, Histogram, ProcedureMetrics
from services.vitals import Phase, Vitals

_BOUNDS: Final = (*map(str, BUCKETS), "+Inf")
_PROCEDURE: Final = ("service", "procedure")
_REQUEST: Final = ("service", "method", "route")

# What a bus counts, in the order of a message's life. One that is not here is shown as well, with a plainer text.
EVENTS: Final = {
    "published": "Messages given to the broker",
    "received": "Messages taken from a queue to be handled",
    "redelivered": "Messages received that somebody may have seen before",
    "handled": "Messages whose handler succeeded",
    "refused": "Messages that a handler answered with an expected error",
    "failed": "Messages whose handler failed unexpectedly",
    "retried": "Messages tried again after a failure",
    "expired": "Messages dropped because their deadline had passed",
    "dead": "Messages put into the dead-letter queue",
    "timed_out": "Calls that got no answer in time",
    "asked_again": "Calls sent again because the connection was lost meanwhile",
}


class _Sum:
    """The same procedure on all buses of one service."""

    def __init__(self) -> None:
        self.all: list[ProcedureMetrics] = []

    def events(self, event: str) -> int:
        return sum(one.events[event] for one in self.all)

    @property
    def in_flight(self) -> int:
        return sum(one.in_flight for one in self.all)

    @property
    def handling(self) -> list[Histogram]:
        return [one.handling for one in self.all]

    @property
    def calling(self) -> list[Histogram]:
        return [one.calling for one in self.all]


class VitalsCollector(Collector):
    """Reads a process's vitals anew at every scrape, beside the thread that counts: what may grow meanwhile is copied first."""

    def __init__(self, vitals: Vitals) -> None:
        self._vitals = vitals

    def collect(self) -> Iterator[Metric]:
        """Every family of ours."""
        info = GaugeMetricFamily(
            "novaflow_build_info", "The version that runs, always 1", labels=["version", "process"]
        )
        info.add_metric([__version__, self._vitals.process], 1)
        yield info
        ready = GaugeMetricFamily("novaflow_service_ready", "Whether a service serves", labels=["role"])
        for name, phase in list(self._vitals.phases.items()):
            ready.add_metric([name], phase is Phase.READY)
        yield ready
        yield from self._bus()
        yield from self._broker()
        yield from self._requests()
        yield from self._export()

    def _bus(self) -> Iterator[Metric]:
        sums = self._sums()
        in_flight = GaugeMetricFamily("novaflow_rpc_in_flight", "Messages being handled now", labels=_PROCEDURE)
        for key, one in sums.items():
            in_flight.add_metric(key, one.in_flight)
        yield in_flight
        for event, text in self._events(sums.values()).items():
            counter = CounterMetricFamily(f"novaflow_rpc_messages_{event}", text, labels=_PROCEDURE)
            for key, one in sums.items():
                counter.add_metric(key, one.events(event))
            yield counter
        yield _histograms(
            "novaflow_rpc_handling_seconds",
            "How long handlers took",
            _PROCEDURE,
            ((key, one.handling) for key, one in sums.items()),
        )
        yield _histograms(
            "novaflow_rpc_calling_seconds",
            "How long callers waited for an answer",
            _PROCEDURE,
            ((key, one.calling) for key, one in sums.items()),
        )

    def _sums(self) -> dict[tuple[str, str], _Sum]:
        found: dict[tuple[str, str], _Sum] = {}
        for service, bus in list(self._vitals.buses):
            for name, procedure in list(bus.procedures.items()):
                found.setdefault((service, name), _Sum()).all.append(procedure)
        return found

    def _events(self, sums: Iterable[_Sum]) -> dict[str, str]:
        seen = {event for one in sums for procedure in one.all for event in list(procedure.events)}
        return EVENTS | {event: f"Messages {event.replace('_', ' ')}" for event in sorted(seen - EVENTS.keys())}

    def _broker(self) -> Iterator[Metric]:
        transport = self._vitals.transport
        if transport is None:
            return
        yield GaugeMetricFamily("novaflow_rpc_connected", "Whether the broker is reached", transport.is_connected)
        yield CounterMetricFamily(
            "novaflow_rpc_reconnects", "Times the connection to the broker came back", transport.reconnects
        )
        yield GaugeMetricFamily("novaflow_rpc_waiting", "Messages that wait for the broker", transport.waiting)

    def _requests(self) -> Iterator[Metric]:
        requests = self._vitals.requests
        answers = CounterMetricFamily("novaflow_http_requests", "Requests answered", labels=[*_REQUEST, "status"])
        for (*place, status), count in list(requests.answers.items()):
            answers.add_metric([*place, str(status)], count)
        yield answers
        yield _histograms(
            "novaflow_http_request_seconds",
            "How long an answer took",
            _REQUEST,
            ((place, [histogram]) for place, histogram in list(requests.seconds.items())),
        )

    def _export(self) -> Iterator[Metric]:
        export = self._vitals.export
        if export is None:
            return
        yield CounterMetricFamily("novaflow_otlp_exported_spans", "Spans the collector took", export.exported)
        dropped = CounterMetricFamily("novaflow_otlp_dropped_spans", "Spans lost on the way to it", labels=["reason"])
        dropped.add_metric(["queue_full"], export.overflowed)
        dropped.add_metric(["not_delivered"], export.undelivered)
        yield dropped


def _histograms(
    name: str, text: str, labels: tuple[str, ...], rows: Iterable[tuple[tuple[str, ...], list[Histogram]]]
) -> HistogramMetricFamily:
    """A family with one row per label set, of the histograms summed; nothing where nothing was observed."""
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, histograms in rows:
        counts = [sum(column) for column in zip(*(one.counts for one in histograms), strict=True)]
        if any(counts):
            below = zip(_BOUNDS, accumulate(counts), strict=True)
            family.add_metric(values, list(below), sum(one.total for one in histograms))
    return family


def render(vitals: Vitals, accept: str) -> tuple[bytes, str]:
    """Every metric as it is now, and the content type: OpenMetrics if `accept`, a request's header, asks for it."""
    # A registry of our own: the library's global one belongs to whoever embeds us.
    registry = CollectorRegistry()
    registry.register(VitalsCollector(vitals))
    for of_process in (ProcessCollector, PlatformCollector, GCCollector):
        of_process(registry=registry)
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type
