import pytest

from rpc.metrics import BUCKETS, BusMetrics, Histogram


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [
        (0.0, 0),
        (BUCKETS[0], 0),
        (BUCKETS[0] * 1.01, 1),
        (0.001, BUCKETS.index(0.001)),
        (60.0, len(BUCKETS) - 1),
        (60.1, len(BUCKETS)),
    ],
)
def test_a_duration_is_counted_under_the_least_bound_that_holds_it(seconds: float, bucket: int) -> None:
    histogram = Histogram()

    histogram.observe(seconds)

    assert histogram.counts == [int(place == bucket) for place in range(len(BUCKETS) + 1)]
    assert histogram.total == seconds


def test_bounds_rise() -> None:
    assert list(BUCKETS) == sorted(set(BUCKETS))


def test_each_procedure_is_counted_by_itself_and_all_are_summed() -> None:
    metrics = BusMetrics()
    metrics.of("compute.stop").events["handled"] += 2
    metrics.of("compute.start").events["handled"] += 1
    metrics.of("compute.start").events["dead"] += 1

    assert metrics.of("compute.stop") is metrics.procedures["compute.stop"]
    assert metrics.counts == {"handled": 3, "dead": 1}
    assert metrics.counts["never"] == 0
