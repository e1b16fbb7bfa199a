"""What Prometheus reads of a process."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from rpc.metrics import BUCKETS, BusMetrics
from rpc.tracing import Span
from services.metrics import EVENTS, render
from services.vitals import Phase, Vitals

DOCS = Path(__file__).parents[3] / "docs" / "observability.md"
OPENMETRICS = "application/openmetrics-text;version=1.0.0"
START = {"service": "nova-compute", "procedure": "conductor.start_build"}


@dataclass
class Link:
    """A connection as a process sees it."""

    is_connected: bool = True
    reconnects: int = 3
    waiting: int = 7


@dataclass
class Export:
    """What a collector was sent."""

    exported: int = 100
    overflowed: int = 2
    undelivered: int = 5


def busy() -> Vitals:
    """A process with two compute hosts, each with a bus of its own."""
    vitals = Vitals("compute-a", phases={"compute": Phase.READY}, transport=Link(), export=Export())
    for seconds in (0.003, 0.2):
        bus = BusMetrics()
        calls = bus.of("conductor.start_build")
        calls.events["published"] += 1
        calls.calling.observe(seconds)
        builds = bus.of("compute.build_and_run_instance")
        builds.events.update(received=2, handled=1, redelivered=1, retried=1)
        builds.in_flight = 1
        builds.handling.observe(400.0)
        vitals.buses.append(("nova-compute", bus))
    return vitals


def families(vitals: Vitals) -> dict[str, Metric]:
    """The text exposition, read as Prometheus would."""
    text, content_type = render(vitals, "")
    assert content_type.startswith("text/plain")
    return {family.name: family for family in parse_text(text.decode())}


def value(found: dict[str, Metric], sample: str, **labels: str) -> float:
    """The one sample of this name with exactly these labels."""
    (number,) = [
        one.value for family in found.values() for one in family.samples if (one.name, one.labels) == (sample, labels)
    ]
    return number


def test_the_buses_of_one_service_are_one_series() -> None:
    found = families(busy())

    build = {"service": "nova-compute", "procedure": "compute.build_and_run_instance"}
    assert value(found, "novaflow_rpc_in_flight", **build) == 2
    assert value(found, "novaflow_rpc_messages_received_total", **build) == 4
    assert value(found, "novaflow_rpc_messages_redelivered_total", **build) == 2
    assert value(found, "novaflow_rpc_messages_retried_total", **build) == 2
    assert value(found, "novaflow_rpc_messages_dead_total", **build) == 0
    assert value(found, "novaflow_rpc_messages_published_total", **START) == 2


def test_services_of_one_process_are_told_apart() -> None:
    vitals = Vitals("novaflow")
    for service, count in (("nova-api", 1), ("nova-scheduler", 10)):
        bus = BusMetrics()
        bus.of("scheduler.build_instances").events["published"] = count
        vitals.buses.append((service, bus))

    found = families(vitals)

    for service, count in (("nova-api", 1), ("nova-scheduler", 10)):
        sample = "novaflow_rpc_messages_published_total"
        assert value(found, sample, service=service, procedure="scheduler.build_instances") == count


def test_a_histogram_counts_what_took_at_most_so_long() -> None:
    found = families(busy())

    below = {bound: value(found, "novaflow_rpc_calling_seconds_bucket", **START, le=str(bound)) for bound in BUCKETS}
    assert [bound for bound, count in below.items() if count == 0] == [b for b in BUCKETS if b < 0.003]
    assert (below[0.005], below[0.1], below[0.25], below[60.0]) == (1, 1, 2, 2)
    assert value(found, "novaflow_rpc_calling_seconds_bucket", **START, le="+Inf") == 2
    assert value(found, "novaflow_rpc_calling_seconds_count", **START) == 2
    assert value(found, "novaflow_rpc_calling_seconds_sum", **START) == pytest.approx(0.203)


def test_what_took_longer_than_every_bound_is_counted_too() -> None:
    found = families(busy())

    build = {"service": "nova-compute", "procedure": "compute.build_and_run_instance"}
    assert value(found, "novaflow_rpc_handling_seconds_bucket", **build, le="60.0") == 0
    assert value(found, "novaflow_rpc_handling_seconds_bucket", **build, le="+Inf") == 2
    assert value(found, "novaflow_rpc_handling_seconds_sum", **build) == 800


def test_a_histogram_without_observations_has_no_series() -> None:
    samples = families(busy())["novaflow_rpc_handling_seconds"].samples

    assert {one.labels["procedure"] for one in samples} == {"compute.build_and_run_instance"}


def test_an_event_that_is_new_to_us_is_shown_too() -> None:
    vitals = busy()
    vitals.buses[0][1].of("conductor.start_build").events["paused_twice"] = 4

    assert value(families(vitals), "novaflow_rpc_messages_paused_twice_total", **START) == 4


def test_the_connection_the_services_and_the_export_are_shown() -> None:
    found = families(busy())

    assert value(found, "novaflow_rpc_connected") == 1
    assert value(found, "novaflow_rpc_reconnects_total") == 3
    assert value(found, "novaflow_rpc_waiting") == 7
    assert value(found, "novaflow_service_ready", role="compute") == 1
    assert value(found, "novaflow_otlp_exported_spans_total") == 100
    assert value(found, "novaflow_otlp_dropped_spans_total", reason="queue_full") == 2
    assert value(found, "novaflow_otlp_dropped_spans_total", reason="not_delivered") == 5


def test_requests_are_counted_by_route_and_status() -> None:
    vitals = Vitals("api")
    for status, seconds in ((200, 0.01), (200, 0.03), (404, 0.002), (None, 1.0)):
        vitals.requests.record(answered(status, seconds))
    vitals.requests.record(answered(200, 5.0, kind="http.client"))

    found = families(vitals)

    place = {"service": "nova-api", "method": "GET", "route": "/v2.1/servers/{id}"}
    assert value(found, "novaflow_http_requests_total", **place, status="200") == 2
    assert value(found, "novaflow_http_requests_total", **place, status="404") == 1
    assert value(found, "novaflow_http_requests_total", **place, status="500") == 1
    assert value(found, "novaflow_http_request_seconds_count", **place) == 4
    assert value(found, "novaflow_http_request_seconds_sum", **place) == pytest.approx(1.042)


def answered(status: int | None, seconds: float, kind: str = "http.server") -> Span:
    return Span(
        kind=kind,
        name="GET /v2.1/servers/1",
        service="nova-api",
        trace_id="1" * 32,
        span_id="2" * 16,
        parent_id=None,
        start=0.0,
        seconds=seconds,
        attributes={"method": "GET", "route": "/v2.1/servers/{id}"} | ({} if status is None else {"status": status}),
    )


def test_a_process_without_a_bus_shows_itself_alone() -> None:
    found = families(Vitals("image"))

    assert "novaflow_rpc_connected" not in found
    assert found["process_resident_memory_bytes"].samples[0].value > 2**20
    assert found["python_info"].samples


def test_openmetrics_is_what_its_own_parser_reads() -> None:
    text, content_type = render(busy(), OPENMETRICS)

    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith(b"# EOF\n")
    read = parse_openmetrics(text.decode())  # type: ignore[no-untyped-call]
    assert "novaflow_rpc_messages_retried" in {family.name for family in read}


def test_the_librarys_global_registry_stays_as_it_was() -> None:
    before = sorted(family.name for family in REGISTRY.collect())

    render(busy(), "")

    assert sorted(family.name for family in REGISTRY.collect()) == before


def test_every_name_says_its_unit_or_that_it_counts() -> None:
    ours = [family for name, family in families(busy()).items() if name.startswith("novaflow_")]

    assert [one.name for one in ours if one.type == "histogram" and not one.name.endswith("_seconds")] == []
    assert [one.name for one in ours if not one.documentation] == []
    assert {sample.name for one in ours if one.type == "counter" for sample in one.samples} == {
        f"{one.name}_total" for one in ours if one.type == "counter" and one.samples
    }


def test_the_documentation_lists_every_metric_and_no_other() -> None:
    listed = re.findall(r"^\| `(novaflow_\w+)`", DOCS.read_text(), re.MULTILINE)

    assert sorted(listed) == sorted(shown(families(busy()).values()))
    assert len(EVENTS) == len([name for name in listed if name.startswith("novaflow_rpc_messages_")])


def shown(found: Iterable[Metric]) -> list[str]:
    """Our names as one writes them in a query."""
    return [one.name + ("_total" if one.type == "counter" else "") for one in found if one.name.startswith("novaflow_")]
