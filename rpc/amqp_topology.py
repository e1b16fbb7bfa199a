"""Which exchanges, queues and bindings a destination needs, with Nova's names (oslo.messaging's rabbit driver)."""

from typing import Final

from aiormq import spec
from pamqp.base import Frame

from rpc.settings import ICEHOUSE, QUORUM, BusSettings
from rpc.transport import Destination, Role

_REPLY_QUEUE_TTL: Final = 600_000  # milliseconds a reply queue outlives its process; oslo.messaging has 1800 s


class Topology:
    """What to declare, by the settings of the bus. All frames ask for no answer: one that does ends a batch of them."""

    def __init__(self, settings: BusSettings) -> None:
        self._settings = settings
        self._is_icehouse = settings.delivery == ICEHOUSE

    def control(self) -> Frame:
        """The control exchange."""
        return spec.Exchange.Declare(
            exchange=self._settings.exchange, exchange_type="topic", durable=self._settings.keeps_queues, nowait=True
        )

    def published(self, to: Destination) -> list[Frame]:
        """What a publisher sees to: that a fanout can be heard, and that what is for nobody yet waits for somebody.

        A host's queue is its host's to declare, and in transient queues nothing waits.
        """
        if to.is_fanout:
            # Deleted by the broker with its last queue, so it is declared before every use; as oslo.messaging has it.
            return [self._fanout(to)]
        if to.role is Role.DEAD or (to.role is Role.SHARED and self._settings.keeps_queues):
            return self._queue(to)
        return []

    def consumed(self, source: Destination, queue: str) -> list[Frame]:
        """What a consumer sees to."""
        if source.is_fanout:
            return [
                self._fanout(source),
                spec.Queue.Declare(queue=queue, auto_delete=True, nowait=True),
                spec.Queue.Bind(queue=queue, exchange=source.name, routing_key="", nowait=True),
            ]
        if source.role is Role.REPLY:
            # Servers of Icehouse answer through an exchange of the queue's name, later ones to the queue itself.
            return [
                spec.Queue.Declare(queue=queue, arguments={"x-expires": _REPLY_QUEUE_TTL}, nowait=True),
                spec.Exchange.Declare(exchange=queue, exchange_type="direct", auto_delete=True, nowait=True),
                spec.Queue.Bind(queue=queue, exchange=queue, routing_key=queue, nowait=True),
            ]
        return self._queue(source)

    def address(self, to: Destination) -> tuple[str, str]:
        """The exchange and the routing key that lead to a destination.

        Each queue is bound to the control exchange, for programs of oslo.messaging and in Nova's own mode of delivery for us. Otherwise
        messages go to the queue by its name, past the exchange: the same queue, for a fifth less of the broker's work.
        """
        if to.is_fanout:
            return to.name, ""
        if self._is_icehouse and to.role in (Role.SHARED, Role.HOST):
            return self._settings.exchange, to.name
        return "", to.name

    def _fanout(self, to: Destination) -> Frame:
        return spec.Exchange.Declare(exchange=to.name, exchange_type="fanout", auto_delete=True, nowait=True)

    def _queue(self, to: Destination) -> list[Frame]:
        declared = spec.Queue.Declare(
            queue=to.name,
            durable=self._settings.keeps_queues,
            # Nothing else: a queue is shared with oslo.messaging's programs, which must declare it alike.
            arguments={"x-queue-type": "quorum"} if self._settings.queue_type == QUORUM else None,
            nowait=True,
        )
        if to.role is Role.DEAD:
            return [declared]
        return [
            declared,
            spec.Queue.Bind(queue=to.name, exchange=self._settings.exchange, routing_key=to.name, nowait=True),
        ]
