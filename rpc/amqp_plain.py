"""The path of messages through aiormq's own channels: slower, and always there."""

import itertools
from collections.abc import Callable, Coroutine
from typing import Any

from aiormq import spec
from aiormq.abc import AbstractConnection, DeliveredMessage
from aiormq.channel import Channel
from aiormq.exceptions import DeliveryError, PublishError

from rpc.amqp_path import Deliver, Rejected
from rpc.errors import Unroutable
from rpc.frames import milliseconds
from rpc.transport import Assurance, Destination, Message, Origin


class PlainPath:
    """Publishes on a channel with confirms what is to be routed or confirmed, and the rest on another.

    `later` has something sent that nobody waits for.
    """

    def __init__(
        self,
        amqp: AbstractConnection,
        confirmed: Channel,
        plain: Channel,
        consuming: Channel,
        *,
        later: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._amqp = amqp
        self._confirmed = confirmed
        self._plain = plain
        self._consuming = consuming
        self._later = later
        self._ids = itertools.count(1)

    @property
    def origin(self) -> Origin:
        """What settles deliveries."""
        return self

    @property
    def is_held(self) -> bool:
        """Aiormq does not say: one has to wait to know."""
        return True

    async def room(self) -> None:
        """Wait for the all-clear of a broker that is short of memory or disk."""
        await self._amqp.ready()

    def post(self, to: Destination, message: Message) -> bool:  # noqa: ARG002
        """Aiormq sends nothing without waiting."""
        return False

    async def publish(self, exchange: str, key: str, message: Message, body: bytes, *, mandatory: bool) -> None:
        """Send a message; see HotPath."""
        is_assured = message.assurance is not Assurance.NONE
        channel = self._confirmed if is_assured else self._plain
        try:
            await channel.basic_publish(
                body,
                exchange=exchange,
                routing_key=key,
                mandatory=mandatory,
                properties=spec.Basic.Properties(
                    content_type="application/json",
                    content_encoding="utf-8",
                    headers=dict(message.headers),
                    delivery_mode=2 if message.persistent else 1,
                    expiration=None if message.ttl is None else str(milliseconds(message.ttl)),
                    message_id=str(next(self._ids)),
                ),
                # Confirms bound what is under way; without them only the socket does.
                wait=not is_assured,
            )
        except PublishError:
            raise Unroutable from None
        except DeliveryError:
            raise Rejected from None

    def renew(self, confirmed: Channel) -> None:
        """Publish on another channel with confirms from now on."""
        self._confirmed = confirmed

    def expect(self, tag: str, deliver: Deliver, *, is_reply: bool) -> None:
        """Deliveries for this consumer go to `deliver`."""

        async def take(message: DeliveredMessage) -> None:
            number = message.delivery_tag
            if number is not None:
                is_again = isinstance(message.delivery, spec.Basic.Deliver) and bool(message.delivery.redelivered)
                deliver(message.header.properties.headers or {}, message.body, number, is_again)

        (self._plain if is_reply else self._consuming).consumers[tag] = take

    def ack(self, tag: int) -> None:
        """A delivery is dealt with."""
        self._later(self._consuming.basic_ack(tag, wait=False))

    def nack(self, tag: int) -> None:
        """Give a delivery back to its queue."""
        self._later(self._consuming.basic_nack(tag, wait=False))

    def flush(self) -> None:
        """Aiormq sends as it goes."""
