"""How a bus behaves, as one frozen value."""

from dataclasses import dataclass
from typing import Final

DURABLE: Final = "durable"
ICEHOUSE: Final = "icehouse"


@dataclass(frozen=True, kw_only=True)
class BusSettings:
    """Times are in seconds.

    `delivery` is `durable` (persistent, confirmed, acknowledged after the work) or `icehouse` (transient, unconfirmed,
    acknowledged before the work, as Nova did it). Raises ValueError naming the field that cannot be.
    """

    delivery: str = DURABLE
    prefetch: int = 64  # messages of one queue that one consumer works on at a time
    publish_timeout: float = 30.0  # a message may wait so long for the broker
    retries: int = 3  # of a cast whose handler fails unexpectedly, before the dead-letter queue
    retry_delay: float = 1.0  # before the first retry; doubles
    drain_timeout: float = 20.0  # a closing bus waits so long for running handlers
    exchange: str = "nova"  # the control exchange, as in oslo.messaging
    max_message_bytes: int = 16 * 2**20  # larger ones are refused on both sides

    def __post_init__(self) -> None:
        if self.delivery not in (DURABLE, ICEHOUSE):
            raise ValueError(f"delivery is {self.delivery!r}: it must be {DURABLE!r} or {ICEHOUSE!r}")
        if not 1 <= self.prefetch <= 65535:
            raise ValueError(f"prefetch is {self.prefetch}: it must be from 1 to 65535")
        for name in ("publish_timeout", "retries", "retry_delay", "drain_timeout", "max_message_bytes"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}: it must not be negative")

    @property
    def is_durable(self) -> bool:
        """Nothing that was accepted may be lost."""
        return self.delivery == DURABLE
