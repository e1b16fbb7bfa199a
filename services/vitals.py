"""What a process knows of itself: what `/metrics` and `/healthz` tell of it is read from here.

The runtime fills it as things are opened, and nothing is counted twice: a bus counts for itself, requests are counted
from their spans.
"""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Final, Protocol

from rpc.metrics import BusMetrics, Histogram
from rpc.tracing import Span

UNMATCHED: Final = "unmatched"  # the route of a request that no handler is there for
_SERVED: Final = "http.server"


class Phase(StrEnum):
    """How far a service of this process is."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    ENDED = "ended"


class Link(Protocol):
    """What is looked at of a transport."""

    @property
    def is_connected(self) -> bool:
        """The broker is reached now."""
        ...

    @property
    def reconnects(self) -> int:
        """Times the connection came back."""
        ...

    @property
    def waiting(self) -> int:
        """Messages that wait for the broker."""
        ...


class Records(Protocol):
    """What is asked of a database."""

    async def ask(self) -> None:
        """Have it say anything; raises ServiceUnavailable."""
        ...


class Export(Protocol):
    """What a collector of spans was sent."""

    @property
    def exported(self) -> int:
        """Spans it took."""
        ...

    @property
    def overflowed(self) -> int:
        """Spans dropped because too many waited."""
        ...

    @property
    def undelivered(self) -> int:
        """Spans it did not take."""
        ...


class RequestCounts:
    """A sink that counts the HTTP requests a process answered, and how long that took."""

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, str, str, int]] = Counter()  # by service, method, route, status
        self.seconds: dict[tuple[str, str, str], Histogram] = {}  # by service, method, route

    def record(self, span: Span) -> None:
        """Count a request; any other span is nothing to it."""
        if span.kind != _SERVED:
            return
        attributes = span.attributes
        place = (span.service, str(attributes.get("method", "")), str(attributes.get("route", UNMATCHED)))
        status = attributes.get("status")
        # A handler that failed has set none; aiohttp answers for it.
        self.answers[*place, status if isinstance(status, int) else HTTPStatus.INTERNAL_SERVER_ERROR.value] += 1
        histogram = self.seconds.get(place)
        if histogram is None:
            histogram = self.seconds[place] = Histogram()
        histogram.observe(span.seconds)


@dataclass
class Vitals:
    """One process. `buses` are its buses' counts with the service each belongs to; what was not opened is None."""

    process: str = ""
    phases: dict[str, Phase] = field(default_factory=dict)
    buses: list[tuple[str, BusMetrics]] = field(default_factory=list)
    requests: RequestCounts = field(default_factory=RequestCounts)
    transport: Link | None = None
    database: Records | None = None
    export: Export | None = None
