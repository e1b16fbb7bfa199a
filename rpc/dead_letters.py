"""Where messages end that cannot be handled: in `<topic>.dead`, with the reason, until somebody looks (`rpc.amqp_queues`)."""

import logging
import time
from collections.abc import Mapping
from typing import Final

from rpc.endpoint import Endpoint
from rpc.envelope import DEAD_SINCE, DEADLINE, ORIGIN, REASON, RETRIES, TRACEPARENT, Headers
from rpc.metrics import BusMetrics
from rpc.settings import BusSettings
from rpc.transport import Assurance, Delivery, Message, Transport, dead_letters

_log = logging.getLogger(__name__)
_TEXT_LIMIT: Final = 1000  # characters of an error that go on
_HEADER_LIMIT: Final = 255  # characters of a header that goes on: all headers together must fit one frame
_KEPT: Final = (TRACEPARENT, DEADLINE, RETRIES)


class Graveyard:
    """Buries messages and counts them."""

    def __init__(self, transport: Transport, settings: BusSettings, metrics: BusMetrics) -> None:
        self._transport = transport
        self._settings = settings
        self._metrics = metrics

    async def bury(
        self,
        delivery: Delivery,
        headers: Mapping[str, object],
        reason: str,
        endpoint: Endpoint | None = None,
        *,
        because: Exception | None = None,
    ) -> None:
        """Put a message where people find it, with the reason and what can be read of `headers`; raises NotConnected."""
        source = delivery.source
        events = self._metrics.of(f"{source.topic}.?" if endpoint is None else endpoint.name).events
        events["dead"] += 1
        if because is not None:
            events["failed"] += 1
        reason = printable(reason)
        _log.error("a message of %s goes to the dead-letter queue: %s", source.name, reason, exc_info=because)
        await self._transport.publish(
            dead_letters(source.topic),
            Message(
                content=delivery.content,
                headers={
                    **travelling(headers),
                    REASON: reason,
                    ORIGIN: source.name,
                    DEAD_SINCE: round(time.time() * 1000),
                },
                persistent=self._settings.keeps_queues,
                assurance=Assurance.CONFIRMED,
            ),
        )


def travelling(headers: Mapping[str, object]) -> Headers:
    """What goes on with a message that is sent once more: our own headers, and of them what can be sent."""
    kept: Headers = {}
    for name in _KEPT:
        value = headers.get(name)
        if isinstance(value, int) or (isinstance(value, str) and len(value) <= _HEADER_LIMIT):
            kept[name] = value
    return kept


def printable(text: str) -> str:
    """Any text as one that every encoder takes, and not too much of it."""
    return text[:_TEXT_LIMIT].encode(errors="replace").decode()
