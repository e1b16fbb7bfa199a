import pytest

from novaflow.lab.figures import median_of, percentile, summary


def test_a_percentile_lies_between_the_values_around_it() -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], 50) == 2.5
    assert percentile([1.0], 95) == 1.0
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_a_summary_is_in_milliseconds_and_counts_what_it_saw() -> None:
    assert summary([0.001, 0.003]) == {"n": 2, "p50_ms": 2.0, "p95_ms": 2.9, "min_ms": 1.0, "max_ms": 3.0}
    assert summary([]) == {"n": 0}


def test_the_median_is_taken_at_every_place_of_nested_figures() -> None:
    runs = [{"a": [{"n": value}], "name": "x"} for value in (1, 9, 2)]

    assert median_of(runs) == {"a": [{"n": 2}], "name": "x"}
