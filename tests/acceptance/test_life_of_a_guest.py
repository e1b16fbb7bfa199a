"""What can be done to a server while its guest runs, through the whole cloud: it goes on where it was, and tells of it itself."""

import asyncio
import re
from pathlib import Path

import pytest

from tests.support.libvirt import need_libvirt
from tests.support.linux_server import (
    GIB,
    KEEPSAKE,
    LIFE,
    MIB,
    SMALL,
    LinuxCloud,
    LinuxServer,
    disks,
    linux_cloud,
    memory,
)
from tests.support.pictures import png_size

PAUSED, SHUTDOWN = 3, 4  # Nova's power states, by number


@pytest.mark.timeout(600)
async def test_what_a_guest_has_in_memory_goes_on(state_dir: Path) -> None:
    need_libvirt()
    async with linux_cloud(state_dir, LIFE) as cloud:
        flavor = await cloud.flavor("m1.memory", ephemeral=1, swap=64, **SMALL)
        web = await cloud.boot("web", flavor)
        said = await web.boots(1)
        assert f"instance-id {web.id}\n" in said
        assert "hostname web.novalocal\n" in said
        has_what_its_flavor_gives(said)
        await web.counts_on()
        await is_looked_at(web)
        await is_paused_and_suspended(web)
        await is_locked_and_set_right(web)
        await cannot_be_given_a_password(web)
        image = await becomes_images(cloud, web)
        await web.act("forceDelete")
        await web.is_gone()
        await a_new_server_has_its_disk(cloud, image, flavor)


def has_what_its_flavor_gives(said: str) -> None:
    """Processors, memory, root, ephemeral and swap disk."""
    assert "1 processors" in said
    assert 120 * MIB < memory(said) < 192 * MIB
    found = disks(said)
    assert (found["vda"], found["vdb"], found["vdc"]) == (GIB, GIB, 64 * MIB)


async def is_looked_at(web: LinuxServer) -> None:
    """Its screen, by VNC and as a picture, and how it fares."""
    asked = {"remote_console": {"protocol": "vnc", "type": "novnc"}}
    console = (await web.cloud.ask("POST", f"{web.url}/remote-consoles", json=asked))["remote_console"]
    address, port = re.findall(r"^vnc://([\d.]+):(\d+)$", console["url"])[0]
    assert await greeting(address, int(port)) == b"RFB 003.008\n"
    picture = await web.cloud.ask("GET", f"{web.url}/os-novaflow-screenshot")
    assert min(png_size(picture)) > 300
    facts = await web.cloud.ask("GET", f"{web.url}/diagnostics")
    assert facts["memory"] == 192 * MIB
    assert facts["cpu0_time"] > 0
    assert facts["vda_read"] > 0


async def greeting(address: str, port: int) -> bytes:
    """What a VNC server says first (RFC 6143)."""
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(address, port)
        try:
            return await reader.readline()
        finally:
            writer.close()


async def is_paused_and_suspended(web: LinuxServer) -> None:
    """Its processors stop, and its memory goes to the disk and comes back."""
    await web.act("pause")
    assert (await web.becomes("PAUSED"))["OS-EXT-STS:power_state"] == PAUSED
    await web.act("unpause")
    await web.becomes("ACTIVE")
    await web.counts_on()
    await web.act("suspend")
    assert (await web.becomes("SUSPENDED"))["OS-EXT-STS:power_state"] == SHUTDOWN
    await web.act("resume")
    await web.becomes("ACTIVE")
    await web.counts_on()


async def is_locked_and_set_right(web: LinuxServer) -> None:
    """What is recorded of it changes, and the guest does not notice."""
    await web.act("lock")
    assert (await web.becomes("ACTIVE"))["locked"] is True
    await web.act("unlock")
    assert (await web.becomes("ACTIVE"))["locked"] is False
    await web.act("os-resetState", {"state": "error"})
    await web.becomes("ERROR")
    await web.act("os-resetState", {"state": "active"})
    await web.becomes("ACTIVE")
    await web.counts_on()


async def cannot_be_given_a_password(web: LinuxServer) -> None:
    """There is no agent in it that would set one: the action says so, and the server stays as it is."""
    await web.act("changePassword", {"adminPass": "s3cret"})
    await web.becomes("ACTIVE")
    action = await web.last_action()
    assert action["action"] == "changePassword"
    assert "because QEMU guest agent is not enabled" in action["message"]


async def becomes_images(cloud: LinuxCloud, web: LinuxServer) -> str:
    """While it runs. A second backup takes the place of the first."""
    await web.act("createImage", {"name": "picture", "metadata": {"of": "web"}})
    await web.becomes("ACTIVE")
    for number in (1, 2):
        await web.act("createBackup", {"name": f"backup-{number}", "backup_type": "daily", "rotation": 1})
        await web.becomes("ACTIVE")
    await web.counts_on()
    found = await cloud.client.ask("GET", f"{cloud.client.image}/images?instance_uuid={web.id}")
    images = {image["name"]: image for image in found["images"]}
    assert {name: image["status"] for name, image in images.items()} == {"picture": "active", "backup-2": "active"}
    assert images["picture"]["of"] == "web"
    return str(images["picture"]["id"])


async def a_new_server_has_its_disk(cloud: LinuxCloud, image: str, flavor: str) -> None:
    """With the file that the first one left there."""
    copy = await cloud.boot("copy", flavor, image)
    said = await copy.boots(2)
    assert f"the disk came with {KEEPSAKE}\n" in said
    assert f"instance-id {copy.id}\n" in said
