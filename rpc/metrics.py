"""What a bus counts of itself, cheaply enough to be always on; services.metrics shows it to Prometheus."""

from bisect import bisect_left
from collections import Counter
from typing import Final

# Upper bounds in seconds: from a call in memory to one that waits for a guest.
BUCKETS: Final = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
)


class Histogram:
    """Durations by bucket: `counts[i]` is how many took at most BUCKETS[i], the last how many took longer."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds


class ProcedureMetrics:
    """One procedure on one bus.

    `events` counts published, received, handled, redelivered, retried, refused, failed, expired, dead, timed_out,
    asked_again; `in_flight` is how many handlers run now; `handling` is how long they took, `calling` how long callers waited.
    """

    __slots__ = ("calling", "events", "handling", "in_flight")

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        self.in_flight = 0
        self.handling = Histogram()
        self.calling = Histogram()


class BusMetrics:
    """Every procedure that one bus has seen; messages that name none are counted for `<queue>.?`."""

    def __init__(self) -> None:
        self.procedures: dict[str, ProcedureMetrics] = {}

    def of(self, name: str) -> ProcedureMetrics:
        """The metrics of one procedure."""
        found = self.procedures.get(name)
        if found is None:
            found = self.procedures[name] = ProcedureMetrics()
        return found

    @property
    def counts(self) -> Counter[str]:
        """Every event, summed over the procedures."""
        total: Counter[str] = Counter()
        for procedure in self.procedures.values():
            total.update(procedure.events)
        return total
