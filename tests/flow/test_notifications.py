"""What happens to servers is told on the notifications topic, in oslo.messaging's form."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from novaflow.config import Notifications
from novaflow.states import Event
from services.internal_orders import order_internally
from tests.support.cloud import cloud, settings
from tests.support.notifications import listen, until_told


async def test_who_listens_hears_of_an_action_that_began_and_ended(tmp_path: Path) -> None:
    config = msgspec.structs.replace(settings(), notifications=Notifications(enabled=True))
    async with cloud(tmp_path, config) as world:
        heard = await listen(world, "info")
        (server,) = await world.boot()
        ended = await until_told(world, heard, "compute.instance.create.end")

        assert ended["priority"] == "INFO"
        assert ended["publisher_id"] == f"compute.{server.host}"
        assert ended["_context_project_id"] == server.project_id
        facts = {key: ended["payload"][key] for key in ("instance_id", "state", "host", "memory_mb", "display_name")}
        assert facts == {
            "instance_id": server.id,
            "state": "active",
            "host": server.host,
            "memory_mb": server.flavor.ram_mb,
            "display_name": "web",
        }

        await order_internally(world.bus, world.servers, server, Event.STOP_ORDERED)
        await until_told(world, heard, "compute.instance.power_off.end")


async def test_who_listens_for_errors_hears_why_an_action_failed(tmp_path: Path) -> None:
    config = msgspec.structs.replace(settings(), notifications=Notifications(enabled=True))
    async with cloud(tmp_path, config) as world:
        heard = await listen(world, "error")
        world.images.trouble = RuntimeError("the image service is on fire")
        await world.boot(settle=False)
        failed = await until_told(world, heard, "compute.instance.create.error")

        assert failed["priority"] == "ERROR"


async def test_nobody_is_told_anything_unless_it_is_switched_on(tmp_path: Path) -> None:
    async with cloud(tmp_path) as world:
        await world.boot()

        assert world.broker.depth("notifications.info") == 0


@pytest.fixture(autouse=True)
async def deadline() -> Any:
    async with asyncio.timeout(60):
        yield
