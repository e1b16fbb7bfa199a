"""From measurements to figures: medians over the rounds, shares of the limit, and which figures carry a mark."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

LIMIT: Final = "limit"
NOVAFLOW: Final = "novaflow"
MEMORY: Final = "memory"  # takes no part in the broker's limit
STEPS: Final = 101  # quantiles of a latency distribution, from least to most


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """One contestant, once, at one number of messages in flight.

    `quantiles_us` are microseconds per message as the client saw it, from the least to the most. CPU is in seconds;
    `broker_cpu_s` is None when the broker's process cannot be seen. `handled` is how many of the messages the CPU
    of server and broker was taken for; `copies` how many servers each message goes to. `failure` says why there are no numbers.
    """

    contestant: str
    round: int
    in_flight: int
    messages: int = 0
    copies: int = 1
    seconds: float = 0.0
    sent_seconds: float | None = None
    quantiles_us: tuple[float, ...] = ()
    client_cpu_s: float = 0.0
    server_cpu_s: float = 0.0
    broker_cpu_s: float | None = None
    handled: int = 0
    errors: int = 0
    lost: int = 0
    duplicated: int = 0
    load: float = 0.0
    failure: str | None = None

    @property
    def rate(self) -> float:
        """Messages handled per second; what was lost or failed does not count."""
        handled = self.messages - max(self.lost / self.copies, self.errors)
        return max(handled, 0.0) / self.seconds if self.seconds > 0 else 0.0


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """The medians of one contestant at one number in flight, over `rounds` rounds that succeeded.

    `share` is of the limit's rate in the same rounds. CPU is in microseconds per message. `lost`, `duplicated` and
    `errors` are sums over the rounds, of `messages` sent in all; `failures` are those of the rounds without numbers.
    """

    contestant: str
    in_flight: int
    rounds: int
    messages: int = 0
    rate: float = 0.0
    least: float = 0.0
    most: float = 0.0
    share: float | None = None
    quantiles_us: tuple[float, ...] = ()
    client_us: float = 0.0
    server_us: float = 0.0
    broker_us: float | None = None
    lost: int = 0
    duplicated: int = 0
    errors: int = 0
    failures: tuple[str, ...] = ()

    @property
    def cpu_us(self) -> float | None:
        """Client, server and broker together; None when the broker's part is not known."""
        return None if self.broker_us is None else self.client_us + self.server_us + self.broker_us

    @property
    def is_marked(self) -> bool:
        """Not every message arrived and was answered, so the rate is not one of the whole load."""
        return bool(self.lost or self.errors)

    def quantile(self, percent: int) -> float | None:
        """Microseconds within which so many percent of the messages were done; None without numbers."""
        return self.quantiles_us[percent] if self.quantiles_us else None


def figures(measurements: Iterable[Measurement]) -> list[Figure]:
    """The figures, by number in flight, the fastest first; those without numbers last."""
    by_place: dict[tuple[int, str], list[Measurement]] = {}
    for one in measurements:
        by_place.setdefault((one.in_flight, one.contestant), []).append(one)
    found = [
        _figure(name, in_flight, several, by_place.get((in_flight, LIMIT), []))
        for (in_flight, name), several in by_place.items()
    ]
    return sorted(found, key=lambda figure: (figure.in_flight, -figure.rate))


def _figure(name: str, in_flight: int, several: Sequence[Measurement], limit: Sequence[Measurement]) -> Figure:
    good = [one for one in several if one.failure is None]
    failures = tuple(dict.fromkeys(one.failure for one in several if one.failure is not None))
    if not good:
        return Figure(contestant=name, in_flight=in_flight, rounds=0, failures=failures)
    rates = [one.rate for one in good]
    return Figure(
        contestant=name,
        in_flight=in_flight,
        rounds=len(good),
        messages=sum(one.messages for one in good),
        rate=statistics.median(rates),
        least=min(rates),
        most=max(rates),
        share=None if name == MEMORY else _share(good, limit),
        quantiles_us=tuple(statistics.median(step) for step in zip(*(one.quantiles_us for one in good), strict=True)),
        client_us=_median(good, lambda one: one.client_cpu_s / one.messages * 1e6),
        server_us=_median(good, lambda one: one.server_cpu_s / max(one.handled, 1) * 1e6),
        broker_us=_broker(good),
        lost=sum(one.lost for one in good),
        duplicated=sum(one.duplicated for one in good),
        errors=sum(one.errors for one in good),
        failures=failures,
    )


def _share(good: Sequence[Measurement], limit: Sequence[Measurement]) -> float | None:
    """The median of the shares of each round: a machine that drifts then moves both sides."""
    limits = {one.round: one.rate for one in limit if one.failure is None and one.rate > 0}
    shares = [one.rate / limits[one.round] for one in good if one.round in limits]
    return statistics.median(shares) if shares else None


def _broker(good: Sequence[Measurement]) -> float | None:
    seen = [one.broker_cpu_s / max(one.handled, 1) * 1e6 for one in good if one.broker_cpu_s is not None]
    return statistics.median(seen) if seen else None


def _median(good: Sequence[Measurement], of: Callable[[Measurement], float]) -> float:
    return statistics.median(of(one) for one in good)
