"""A cloud of two hosts with a libvirtd each: a server moves from one to the other and does not notice."""

import asyncio
import base64
import re
from pathlib import Path
from typing import Any

import pytest

from novaflow.lab.openstack import OpenStack, connect
from services.detached import admin, detached
from tests.support.libvirtd import DIRTIES, copied_twice, need_libvirtd

SECONDS = 120.0  # for an emulated guest on a busy machine
COUNTS = b"""#!/bin/sh
(counter=0; while :; do counter=$((counter + 1)); echo "counter $counter"; sleep 1; done) &
"""


async def guest_image(cloud: OpenStack) -> str:
    """The image that the cloud offers soon after it is ready."""
    async with asyncio.timeout(SECONDS):
        while not (
            images := (await cloud.ask("GET", f"{cloud.image}/images?name=novaflow-guest&status=active"))["images"]
        ):
            await asyncio.sleep(0.2)
    return str(images[0]["id"])


async def settled(cloud: OpenStack, server_id: str) -> str:
    """Its host, once it is active and nothing is done with it."""
    async with asyncio.timeout(SECONDS):
        while not (server := await cloud.server(server_id)) or server["status"] == "BUILD" or _is_busy(server):
            await asyncio.sleep(0.1)
    assert server["status"] == "ACTIVE", server
    return str(server["OS-EXT-SRV-ATTR:host"])


def _is_busy(server: dict[str, Any]) -> bool:
    return server["OS-EXT-STS:task_state"] is not None


async def counts(cloud: OpenStack, server_id: str, times: int) -> list[int]:
    """What it has counted on the console of its host, so often at least."""
    url = f"{cloud.compute}/servers/{server_id}/action"
    body: dict[str, object] = {"os-getConsoleOutput": {}}
    async with asyncio.timeout(SECONDS):
        while len(found := re.findall(r"counter (\d+)", (await cloud.ask("POST", url, json=body))["output"])) < times:
            await asyncio.sleep(0.2)
    return [int(number) for number in found]


@pytest.mark.timeout(500)
async def test_a_server_migrates_while_it_runs(state_dir: Path) -> None:
    need_libvirtd()
    flags = ["--virt", "private", "--hosts", "2", "--port-base", "0"]
    async with detached(flags, state_dir) as config, connect(admin(config)) as cloud:
        data = base64.b64encode(COUNTS).decode()
        server_id = await cloud.boot("counts", await guest_image(cloud), "1", user_data=data)
        source = await settled(cloud, server_id)
        before = await counts(cloud, server_id, 3)

        ask = {"os-migrateLive": {"host": None, "block_migration": "auto"}}
        await cloud.ask("POST", f"{cloud.compute}/servers/{server_id}/action", json=ask)
        destination = await settled(cloud, server_id)
        after = await counts(cloud, server_id, 2)

        assert destination != source
        assert after[0] > before[-1]  # it did not boot again
        assert list((state_dir / "compute" / source / "instances").iterdir()) == []

    assert not list(state_dir.glob("libvirtd/*/run/libvirt/libvirt-sock"))


@pytest.mark.timeout(500)
async def test_a_server_that_changes_faster_than_it_is_copied_arrives_when_it_is_forced_to(state_dir: Path) -> None:
    need_libvirtd()
    flags = ["--virt", "private", "--hosts", "2", "--port-base", "0"]
    async with detached(flags, state_dir) as config, connect(admin(config)) as cloud:
        flavor = {"name": "m1.dirty", "vcpus": 1, "ram": 256, "disk": 0}
        made = await cloud.ask("POST", f"{cloud.compute}/flavors", json={"flavor": flavor})
        data = base64.b64encode(COUNTS + DIRTIES).decode()
        server_id = await cloud.boot("dirty", await guest_image(cloud), made["flavor"]["id"], user_data=data)
        source = await settled(cloud, server_id)
        before = await counts(cloud, server_id, 3)
        url = f"{cloud.compute}/servers/{server_id}"

        ask = {"os-migrateLive": {"host": None, "block_migration": "auto"}}
        await cloud.ask("POST", f"{url}/action", json=ask)
        socket = state_dir / "libvirtd" / source / "run" / "libvirt" / "libvirt-sock"
        await copied_twice(f"qemu+unix:///session?socket={socket}", server_id)
        (move,) = (await cloud.ask("GET", f"{url}/migrations"))["migrations"]
        await cloud.ask("POST", f"{url}/migrations/{move['id']}/action", json={"force_complete": None})
        destination = await settled(cloud, server_id)
        after = await counts(cloud, server_id, 2)

        assert move["status"] == "running"
        assert destination != source
        assert after[0] > before[-1]  # it did not boot again
        shown = await cloud.server(server_id)
        assert shown
        assert (shown["status"], shown["OS-EXT-STS:power_state"]) == ("ACTIVE", 1)
