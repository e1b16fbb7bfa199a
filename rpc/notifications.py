"""Notifications: what happened, told to whoever listens, in oslo.messaging's form.

A notification goes to the queue `<topic>.<priority>`, which is declared as any other and keeps what nobody has read yet. It
orders nothing and has no answer. Source: oslo_messaging/notify/notifier.py and messaging.py (driver `messagingv2`).
"""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from rpc.envelope import encode, wrap
from rpc.transport import Assurance, Destination, Message, Transport, destination

INFO: Final = "info"
ERROR: Final = "error"
_MESSAGE_LIMIT: Final = 16 * 2**20  # bytes


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """`publisher_id` is `<service>.<host>`, `payload` whatever belongs to the type of event."""

    event_type: str
    publisher_id: str
    payload: Mapping[str, Any]
    priority: str = INFO
    context: Mapping[str, Any] = msgspec.field(default_factory=dict)

    def pack(self, now: datetime) -> bytes:
        """The bytes of it; raises BadMessage when it is too large."""
        inner = {
            "message_id": str(uuid.uuid4()),
            "publisher_id": self.publisher_id,
            "event_type": self.event_type,
            "priority": self.priority.upper(),
            "payload": self.payload,
            "timestamp": now.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
            "_unique_id": uuid.uuid4().hex,
        }
        inner |= {f"_context_{key}": value for key, value in self.context.items()}
        return wrap(encode(inner), _MESSAGE_LIMIT)


def queue_of(topic: str, priority: str) -> Destination:
    """Where notifications of a priority go."""
    return destination(f"{topic}.{priority}")


async def notify(transport: Transport, topic: str, notification: Notification, *, now: datetime) -> None:
    """Publish it; raises NotConnected when the broker stays away, BadMessage when it is too large."""
    content = notification.pack(now)
    message = Message(content=content, headers={}, assurance=Assurance.CONFIRMED, persistent=True)
    await transport.publish(queue_of(topic, notification.priority), message)
