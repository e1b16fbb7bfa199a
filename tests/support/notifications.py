"""Who listens on the notifications topic of a cloud without front doors."""

from typing import Any

import msgspec

from rpc.memory import MemoryTransport
from rpc.notifications import queue_of
from rpc.transport import Delivery
from tests.support.cloud import Cloud


async def listen(world: Cloud, priority: str) -> list[dict[str, Any]]:
    """Every notification of a priority, as it comes."""
    heard: list[dict[str, Any]] = []

    def receive(delivery: Delivery) -> None:
        outer = msgspec.json.decode(delivery.body)
        heard.append(msgspec.json.decode(outer["oslo.message"]))
        delivery.ack()

    transport = MemoryTransport(world.broker, world.bus_settings)
    await transport.consume([queue_of("notifications", priority)], receive)
    return heard


async def until_told(world: Cloud, heard: list[dict[str, Any]], event_type: str) -> dict[str, Any]:
    async def is_told() -> bool:
        return any(said["event_type"] == event_type for said in heard)

    await world.until(is_told)
    return next(said for said in heard if said["event_type"] == event_type)
