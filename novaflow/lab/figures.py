"""Latencies and rates as figures: percentiles, summaries, medians over runs."""

import statistics
from collections.abc import Sequence
from typing import Any


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` percent of `values` lie, interpolated. Raises ValueError for no values."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    position = (len(ordered) - 1) * share / 100
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def summary(seconds: Sequence[float]) -> dict[str, float | int]:
    """How many, and p50, p95, least and most in milliseconds."""
    if not seconds:
        return {"n": 0}
    return {
        "n": len(seconds),
        "p50_ms": round(percentile(seconds, 50) * 1e3, 2),
        "p95_ms": round(percentile(seconds, 95) * 1e3, 2),
        "min_ms": round(min(seconds) * 1e3, 2),
        "max_ms": round(max(seconds) * 1e3, 2),
    }


def median_of(runs: Sequence[Any]) -> Any:
    """The median of every number that stands at the same place in all runs."""
    first = runs[0]
    if isinstance(first, dict):
        return {key: median_of([run[key] for run in runs if key in run]) for key in first}
    if isinstance(first, list):
        return [median_of([run[index] for run in runs if len(run) > index]) for index in range(len(first))]
    if isinstance(first, bool) or not isinstance(first, (int, float)):
        return first
    return round(statistics.median(runs), 3)
