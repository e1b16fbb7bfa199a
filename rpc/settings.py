"""How a bus behaves, as one frozen value."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, TypeVar

_T = TypeVar("_T", int, float)

DURABLE: Final = "durable"
ICEHOUSE: Final = "icehouse"

TRANSIENT: Final = "transient"
QUORUM: Final = "quorum"


@dataclass(frozen=True, kw_only=True)
class ProcedureSettings:
    """What differs for one procedure; None leaves it as the procedure's constant or the bus has it.

    `concurrency` is how many of its handlers one process runs at a time.
    """

    delivery: str | None = None
    retries: int | None = None
    retry_delay: float | None = None
    concurrency: int | None = None

    def __post_init__(self) -> None:
        if self.delivery not in (None, DURABLE, ICEHOUSE):
            raise ValueError(f"delivery is {self.delivery!r}: it must be {DURABLE!r} or {ICEHOUSE!r}")
        for name, least in (("retries", 0), ("retry_delay", 0), ("concurrency", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} is {value}: it must be at least {least}")


@dataclass(frozen=True, kw_only=True)
class BusSettings:
    """Times are in seconds.

    `delivery` is `durable` (persistent, confirmed, acknowledged after the work) or `icehouse` (transient, unconfirmed,
    acknowledged before the work, as Nova did it). `queues` says what the broker keeps of them: `durable` queues outlive its
    restart, `quorum` ones also the loss of a node of a cluster, `transient` ones neither; empty is what the delivery needs.
    `procedures` has what differs, by the procedure's name (`compute.stop_instance`). Raises ValueError naming the field
    that cannot be.
    """

    delivery: str = DURABLE
    queues: str = ""
    prefetch: int = 64  # messages of one queue that one consumer works on at a time
    publish_timeout: float = 30.0  # a message may wait so long for the broker
    retries: int = 3  # of a cast whose handler fails unexpectedly, before the dead-letter queue
    retry_delay: float = 1.0  # before the first retry; doubles
    drain_timeout: float = 20.0  # a closing bus waits so long for running handlers
    exchange: str = "nova"  # the control exchange, as in oslo.messaging
    max_message_bytes: int = 16 * 2**20  # larger ones are refused on both sides
    procedures: Mapping[str, ProcedureSettings] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if self.delivery not in (DURABLE, ICEHOUSE):
            raise ValueError(f"delivery is {self.delivery!r}: it must be {DURABLE!r} or {ICEHOUSE!r}")
        if self.queues not in ("", DURABLE, QUORUM, TRANSIENT):
            raise ValueError(f"queues is {self.queues!r}: it must be {DURABLE!r}, {QUORUM!r} or {TRANSIENT!r}")
        if not 1 <= self.prefetch <= 65535:
            raise ValueError(f"prefetch is {self.prefetch}: it must be from 1 to 65535")
        for name in ("publish_timeout", "retries", "retry_delay", "drain_timeout", "max_message_bytes"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}: it must not be negative")

    @property
    def queue_type(self) -> str:
        """`durable`, `quorum` or `transient`."""
        return self.queues or (DURABLE if self.delivery == DURABLE else TRANSIENT)

    @property
    def keeps_queues(self) -> bool:
        """Do queues outlive a restart of the broker?"""
        return self.queue_type != TRANSIENT

    def of(self, name: str, wanted: ProcedureSettings) -> "Policy":
        """How the bus treats one procedure: as the user says, else as its author says, else as everything."""
        said = self.procedures.get(name, ProcedureSettings())
        delivery = said.delivery or wanted.delivery or self.delivery
        return Policy(
            is_durable=delivery == DURABLE,
            retries=_first(said.retries, wanted.retries, self.retries),
            retry_delay=_first(said.retry_delay, wanted.retry_delay, self.retry_delay),
            concurrency=said.concurrency or wanted.concurrency,
        )


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What holds for one procedure. `is_durable`: nothing of it that was accepted may be lost."""

    is_durable: bool
    retries: int
    retry_delay: float
    concurrency: int | None


def _first(said: _T | None, wanted: _T | None, usual: _T) -> _T:
    return said if said is not None else wanted if wanted is not None else usual
