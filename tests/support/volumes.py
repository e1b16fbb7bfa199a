"""The host's part in the life of volumes, where a test has the API alone: orders that are heard are done."""

from datetime import UTC, datetime

from novaflow.db.volumes import Volumes, VolumeSnapshots
from novaflow.messages import CREATE_VOLUME_SNAPSHOT, DELETE_VOLUME_SNAPSHOT
from tests.support.server_world import World

NOW = datetime(2026, 5, 1, tzinfo=UTC)


async def carry_out(world: World, *, fault: str | None = None) -> str:
    """Take the next order that a host got, and end it; answers what was ordered."""
    name, order = await world.order()
    is_of_snapshot = name in (CREATE_VOLUME_SNAPSHOT.method, DELETE_VOLUME_SNAPSHOT.method)
    if is_of_snapshot:
        await VolumeSnapshots(world.api.database).report(order.id, order.order_id, NOW, fault=fault)
    else:
        await Volumes(world.api.database).report(order.id, order.order_id, NOW, fault=fault)
    return name
