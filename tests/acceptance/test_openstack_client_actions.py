"""The unmodified `openstack` client does to servers whatever can be done to them, on two hosts that fake their guests."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import client_of
from tests.support.clients import CommandFailed, OpenStackClient
from tests.support.disks import qcow2

LIVE = ("--os-compute-api-version", "2.25")


@pytest.mark.timeout(900)
async def test_every_action_works_through_the_openstack_client(
    state_dir: Path, openstack_bin: Path, tmp_path: Path
) -> None:
    async with client_of(state_dir, openstack_bin, "--virt", "fake", "--hosts", "2") as openstack:
        await has_an_image(openstack, tmp_path)
        await boots(openstack, "web")
        for chapter in CHAPTERS:
            await chapter(openstack)
        await openstack.text("server", "delete", "--wait", "web")
        assert await openstack.json("server", "list") == []


async def has_an_image(openstack: OpenStackClient, tmp_path: Path) -> None:
    (tmp_path / "disk.qcow2").write_bytes(qcow2())
    await openstack.text("image", "create", "--disk-format", "qcow2", "--file", str(tmp_path / "disk.qcow2"), "disk")


async def boots(openstack: OpenStackClient, name: str) -> str:
    server = await openstack.json("server", "create", "--wait", "--image", "disk", "--flavor", "1", name)
    return str(server["id"])


async def show(openstack: OpenStackClient, name: str = "web") -> dict[str, Any]:
    shown: dict[str, Any] = await openstack.json("server", "show", name)
    return shown


async def becomes(openstack: OpenStackClient, wanted: str) -> dict[str, Any]:
    """Wait for a status of the server, with nothing being done to it."""
    async with asyncio.timeout(90):
        while (server := await show(openstack))["status"] != wanted or server["OS-EXT-STS:task_state"]:
            assert server["status"] != "ERROR" or wanted == "ERROR", server
            await asyncio.sleep(0.3)
    return server


async def is_paused_and_suspended(openstack: OpenStackClient) -> None:
    await openstack.text("server", "pause", "web")
    await becomes(openstack, "PAUSED")
    await openstack.text("server", "unpause", "web")
    await becomes(openstack, "ACTIVE")
    await openstack.text("server", "suspend", "web")
    await becomes(openstack, "SUSPENDED")
    with pytest.raises(CommandFailed, match="while it is in vm_state suspended"):
        await openstack.text("server", "pause", "web")
    await openstack.text("server", "resume", "web")
    await becomes(openstack, "ACTIVE")


async def is_stopped_and_rebooted(openstack: OpenStackClient) -> None:
    await openstack.text("server", "stop", "web")
    await becomes(openstack, "SHUTOFF")
    await openstack.text("server", "start", "web")
    await becomes(openstack, "ACTIVE")
    await openstack.text("server", "reboot", "--hard", "--wait", "web")
    await becomes(openstack, "ACTIVE")


async def is_rescued_and_rebuilt(openstack: OpenStackClient) -> None:
    await openstack.text("server", "rescue", "--image", "disk", "web")
    await becomes(openstack, "RESCUE")
    await openstack.text("server", "unrescue", "web")
    await becomes(openstack, "ACTIVE")
    rebuilt = await openstack.json("server", "rebuild", "--image", "disk", "web")
    assert (rebuilt["name"], bool(rebuilt["adminPass"])) == ("web", True)
    await becomes(openstack, "ACTIVE")


async def becomes_images(openstack: OpenStackClient) -> None:
    image = await openstack.json("server", "image", "create", "--name", "snap", "web")
    await becomes(openstack, "ACTIVE")
    shown = await openstack.json("image", "show", image["id"])
    assert (shown["status"], shown["properties"]["image_type"]) == ("active", "snapshot")
    for number in range(3):
        words = ("--name", f"backup-{number}", "--type", "daily", "--rotate", "2")
        await openstack.text("server", "backup", "create", *words, "web")
        await becomes(openstack, "ACTIVE")
    names = {row["Name"] for row in await openstack.json("image", "list")}
    assert names & {"backup-0", "backup-1", "backup-2"} == {"backup-1", "backup-2"}


async def goes_to_the_shelf(openstack: OpenStackClient) -> None:
    await openstack.text("server", "shelve", "web")
    shelved = await becomes(openstack, "SHELVED_OFFLOADED")
    assert shelved["OS-EXT-SRV-ATTR:host"] in (None, "None")
    await openstack.text("server", "unshelve", "web")
    await becomes(openstack, "ACTIVE")
    assert "web-shelved" not in {row["Name"] for row in await openstack.json("image", "list")}


async def is_resized(openstack: OpenStackClient) -> None:
    await openstack.text("server", "resize", "--flavor", "2", "web")
    await becomes(openstack, "VERIFY_RESIZE")
    await openstack.text("server", "resize", "revert", "web")
    reverted = await becomes(openstack, "ACTIVE")
    await openstack.text("server", "resize", "--flavor", "2", "--wait", "web")
    await openstack.text("server", "resize", "confirm", "web")
    confirmed = await becomes(openstack, "ACTIVE")
    assert ("m1.tiny" in str(reverted["flavor"]), "m1.small" in str(confirmed["flavor"])) == (True, True)
    with pytest.raises(CommandFailed, match="instances must change flavor"):
        await openstack.text("server", "resize", "--flavor", "2", "web")


async def is_migrated(openstack: OpenStackClient) -> None:
    source = (await show(openstack))["OS-EXT-SRV-ATTR:host"]
    await openstack.text("server", "migrate", "--wait", "web")
    await openstack.text("server", "migrate", "confirm", "web")
    moved = await becomes(openstack, "ACTIVE")
    await openstack.text(*LIVE, "server", "migrate", "--live-migration", "web")
    async with asyncio.timeout(60):
        while (server := await show(openstack))["OS-EXT-SRV-ATTR:host"] != source or server["OS-EXT-STS:task_state"]:
            await asyncio.sleep(0.3)
    assert (moved["OS-EXT-SRV-ATTR:host"] != source, server["status"]) == (True, "ACTIVE")
    moves = await openstack.json("--os-compute-api-version", "2.23", "server", "migration", "list")
    assert {move["Type"] for move in moves} == {"resize", "migration", "live-migration"}
    assert "completed" in {move["Status"] for move in moves}


async def is_locked(openstack: OpenStackClient) -> None:
    await openstack.text("server", "lock", "web")
    shown = await openstack.json("--os-compute-api-version", "2.9", "server", "show", "web")
    await openstack.text("server", "unlock", "web")
    assert shown["locked"] is True


async def is_set_right_and_looked_at(openstack: OpenStackClient) -> None:
    await openstack.text("server", "set", "--auto-approve", "--state", "error", "web")
    await becomes(openstack, "ERROR")
    await openstack.text("server", "set", "--auto-approve", "--state", "active", "web")
    await becomes(openstack, "ACTIVE")
    assert "memory" in await openstack.text("server", "show", "--diagnostics", "web")
    events = {row["Action"] for row in await openstack.json("server", "event", "list", "web")}
    assert events >= {
        *("pause", "unpause", "suspend", "resume", "rescue", "unrescue", "rebuild", "createImage", "createBackup"),
        *("shelve", "unshelve", "resize", "revertResize", "confirmResize", "migrate", "live-migration"),
        *("lock", "unlock", "resetState"),
    }


CHAPTERS: tuple[Callable[[OpenStackClient], Awaitable[None]], ...] = (
    is_paused_and_suspended,
    is_stopped_and_rebooted,
    is_rescued_and_rebuilt,
    becomes_images,
    goes_to_the_shelf,
    is_resized,
    is_migrated,
    is_locked,
    is_set_right_and_looked_at,
)
