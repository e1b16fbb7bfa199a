"""What messages take through a session: our own frames (rpc.amqp_fast), or aiormq's channels (rpc.amqp_plain). Both do the same."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from aiormq.channel import Channel

from rpc.transport import Destination, Message, Origin

# Headers (a table, or a content's properties as they came), body, delivery tag, and whether it comes again.
Deliver = Callable[[Mapping[str, object] | bytes, bytes, int, bool], None]


class SessionLost(Exception):
    """The connection ended before the operation did; whether the broker saw it is not known."""


class Rejected(Exception):
    """The broker did not take a message. In a cluster that passes: a queue may be about to elect its leader."""


class HotPath(Protocol):
    """Publishing, delivering and settling on the channels of one session."""

    def post(self, to: Destination, message: Message) -> bool:
        """Send a message that is not to be confirmed, at once; False when something must be waited for. Raises BadMessage."""
        ...

    def publish(
        self, exchange: str, key: str, message: Message, body: bytes, *, mandatory: bool
    ) -> Awaitable[None] | None:
        """Send a message, `mandatory` if some queue must take it. What is returned, if anything, ends when the broker has it.

        That then raises Unroutable, without a text, when no queue takes the message, and Rejected when the broker does not.
        """
        ...

    def renew(self, confirmed: Channel) -> None:
        """Publish on another channel with confirms from now on; what the old one has not confirmed is Rejected."""
        ...

    async def room(self) -> None:
        """Wait until the broker and the socket take more. `is_held` says whether that is necessary."""
        ...

    @property
    def is_held(self) -> bool:
        """Must publishers wait?"""
        ...

    def expect(self, tag: str, deliver: Deliver, *, is_reply: bool) -> None:
        """Deliveries for the consumer `tag` go to `deliver`, from now on."""
        ...

    @property
    def origin(self) -> Origin:
        """What settles deliveries; without effect when the session is lost."""
        ...

    def flush(self) -> None:
        """Send what waits for the end of this turn of the loop."""
        ...
