"""An unmodified oslo.messaging notification listener hears ours."""

from datetime import UTC, datetime
from pathlib import Path

from rpc.notifications import ERROR, Notification
from tests.support.bus import World
from tests.support.oslo import oslo_listener

NOW = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


async def test_a_listener_hears_what_happened_and_what_failed(
    world: World, oslo_configuration: str, tmp_path: Path
) -> None:
    bus = await world.bus()
    with oslo_listener(tmp_path, oslo_configuration, world.topic) as listener:
        for event_type, priority in (("compute.instance.pause.end", "info"), ("compute.instance.pause.error", ERROR)):
            notification = Notification(
                event_type=event_type,
                publisher_id="compute.c1",
                payload={"instance_id": "grüße ☂"},
                priority=priority,
                context={"project_id": "p"},
            )
            await bus.notify(world.topic, notification, now=NOW)
        heard = sorted([await listener.heard(), await listener.heard()], key=lambda said: said["event_type"])

    assert [(said["event_type"], said["priority"]) for said in heard] == [
        ("compute.instance.pause.end", "info"),
        ("compute.instance.pause.error", "error"),
    ]
    assert heard[0]["publisher_id"] == "compute.c1"
    assert heard[0]["payload"] == {"instance_id": "grüße ☂"}
    assert heard[0]["context"]["project_id"] == "p"
    assert heard[0]["metadata"] == ["message_id", "timestamp"]
