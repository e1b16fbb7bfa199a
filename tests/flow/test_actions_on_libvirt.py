"""Every action on one host, once, on a real domain: the same orders, the same states, another hypervisor."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from novaflow.messages import GET_DIAGNOSTICS, GET_SCREENSHOT, GET_VNC_CONSOLE, GuestAsk
from novaflow.models import Server
from novaflow.states import Power
from novaflow.virt.choose import open_driver
from novaflow.virt.driver import Driver
from tests.support.actions import IMAGE, act, last_task, leftovers
from tests.support.cloud import Cloud, cloud, settings
from tests.support.libvirt import boot_sector, need_libvirt, process_directory

PNG_IN_BASE64 = "iVBORw0KGgo"


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Cloud]:
    need_libvirt()

    def libvirt(cloud: Cloud, host: str) -> Driver:
        return open_driver(cloud.config.compute, host=host, directory=process_directory())

    monkeypatch.setattr(Cloud, "_driver_of", libvirt)
    compute = msgspec.structs.replace(settings().compute, virt="auto", hosts=1, host="actions", stop_timeout=0.5)
    async with cloud(tmp_path, settings(compute=compute)) as running:
        running.images.add("boots", boot_sector(), disk_format="raw")
        yield running


async def become(world: Cloud, server: Server, action: str, status: str, power: Power, **params: Any) -> Server:
    """Do it, and see that it led there."""
    after = await act(world, server, action, **params)
    _, state, message = await last_task(world, server)
    assert (after.status, after.power, state, message) == (status, power, "done", None), action
    return after


async def test_a_server_goes_through_everything_and_leaves_nothing(world: Cloud) -> None:
    (server,) = await world.boot(image_id="boots")
    assert server.status == "ACTIVE", server.fault

    await become(world, server, "pause", "PAUSED", Power.PAUSED)
    await become(world, server, "unpause", "ACTIVE", Power.RUNNING)
    await become(world, server, "suspend", "SUSPENDED", Power.SHUTDOWN)
    await become(world, server, "resume", "ACTIVE", Power.RUNNING)
    await become(world, server, "rescue", "RESCUE", Power.RUNNING)
    await become(world, server, "unrescue", "ACTIVE", Power.RUNNING)

    world.images.queue("copy", owner="p")
    await become(world, server, "createImage", "ACTIVE", Power.RUNNING, image_id="copy")
    await become(world, server, "rebuild", "ACTIVE", Power.RUNNING, changes={"image_id": "copy"})
    await become(world, server, "softDelete", "SOFT_DELETED", Power.SHUTDOWN)
    await become(world, server, "restore", "ACTIVE", Power.RUNNING)

    world.images.queue(IMAGE, owner="p")
    await become(world, server, "shelve", "SHELVED_OFFLOADED", Power.NOSTATE, image_id=IMAGE)
    await become(world, server, "unshelve", "ACTIVE", Power.RUNNING, image_id=IMAGE)

    assert (await world.order(server, "delete")).status == "DELETED"
    assert leftovers(world) == []
    home = process_directory() / "actions"
    assert [path for path in home.rglob("*") if server.id in str(path)] == []


async def test_a_guest_is_looked_at_and_without_an_agent_refuses_a_password(world: Cloud) -> None:
    (server,) = await world.boot(image_id="boots")
    ask, host = GuestAsk(server_id=server.id), server.host or ""

    assert (await world.bus.call(GET_SCREENSHOT.at(host), ask)).png.startswith(PNG_IN_BASE64)
    assert (await world.bus.call(GET_VNC_CONSOLE.at(host), ask)).port > 0
    assert (await world.bus.call(GET_DIAGNOSTICS.at(host), ask)).driver == "libvirt"

    assert (await act(world, server, "changePassword", password="x")).status == "ACTIVE"
    why = "QEMU guest agent is not enabled"
    told = f"Failed to set admin password on {server.id} because {why}"
    assert await last_task(world, server) == ("changePassword", "error", told)
    await world.order(server, "delete")


async def test_a_delete_takes_over_from_a_snapshot(world: Cloud) -> None:
    world.images.queue(IMAGE, owner="p")
    (server,) = await world.boot(image_id="boots")
    await act(world, server, "createImage", image_id=IMAGE, settle=False)

    assert (await world.order(server, "delete")).status == "DELETED"

    await world.quiet()
    assert leftovers(world) == []
    assert world.images.facts.get(IMAGE) is None or world.images.facts[IMAGE].status == "active"
