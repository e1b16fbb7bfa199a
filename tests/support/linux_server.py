"""A server whose guest is the tiny Linux, in a cloud that is used by its public API alone: what is done to it, and what it says."""

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from novaflow.lab.openstack import OpenStack, connect
from services.detached import admin, detached

PATIENCE: Final = 150.0  # seconds; an emulated guest on a busy machine takes its time
GUEST_IMAGE: Final = "novaflow-guest"
MIB: Final = 1024  # as a guest counts: in kB
GIB: Final = 1024 * MIB
SMALL: Final = {"vcpus": 1, "ram": 192, "disk": 1}
LARGE: Final = {"vcpus": 2, "ram": 256, "disk": 2}
LIFE: Final = """
[compute]
allow_resize_to_same_host = false
reclaim_instance_interval = 3600.0
shelved_offload_time = 3600.0
"""
"""Settings of a cloud in which nothing happens before it is ordered, and moves go to other hosts."""

_BOOTS: Final = "novaflow guest: booting"
_PAUSE: Final = 0.1

USER_DATA: Final = """#!/bin/sh
mkdir -p /old
mount -t ext2 -o ro /dev/vdb /old 2>/dev/null && echo "the old disk has $(cat /old/keepsake)"
[ -f /disk/keepsake ] && echo "the disk came with $(cat /disk/keepsake)"
echo "a keepsake of $(hostname)" >/disk/keepsake
sync
(counter=0; while :; do counter=$((counter + 1)); echo "counter $counter"; sleep 1; done) &
"""
"""What a guest does at its first boot: tell what it finds on the disks, leave a file there, and begin to count in its memory."""

KEEPSAKE: Final = "a keepsake of web.novalocal"  # the content of the file, of a server named web
Shown = dict[str, Any]


def memory(said: str) -> int:
    """The kB of memory that a guest sees; its kernel takes some of what it was given."""
    return int(re.findall(r"processors, (\d+) kB of memory", said)[0])


def disks(said: str) -> dict[str, int]:
    """The kB of each disk that a guest sees."""
    return {disk: int(size) for disk, size in re.findall(r"disk (vd.) has (\d+) kB", said)}


def files(said: str) -> list[str]:
    """What is on its disk when it boots."""
    return str(re.findall(r"guest: files (.*)", said)[0]).split()


@dataclass(frozen=True)
class LinuxServer:
    """One such server."""

    cloud: OpenStack
    id: str

    @property
    def url(self) -> str:
        """Where it is asked for."""
        return f"{self.cloud.compute}/servers/{self.id}"

    async def act(self, action: str, facts: object = None) -> Any:
        """Order an action; gives the answer. Raises ApiError."""
        return await self.cloud.ask("POST", f"{self.url}/action", json={action: facts})

    async def becomes(self, status: str) -> Shown:
        """The server, once it has this status and nothing is being done to it."""
        async with asyncio.timeout(PATIENCE):
            while True:
                server = await self.cloud.server(self.id)
                assert server, f"server {self.id} is gone"
                if server["OS-EXT-STS:task_state"] is None:
                    if server["status"] == status:
                        return server
                    assert server["status"] != "ERROR", server["fault"]
                await asyncio.sleep(_PAUSE)

    async def is_gone(self) -> None:
        """Wait until nobody knows it any more."""
        async with asyncio.timeout(PATIENCE):
            while await self.cloud.server(self.id):
                await asyncio.sleep(_PAUSE)

    async def said(self) -> str:
        """Its console, as far as its host keeps it."""
        return str((await self.act("os-getConsoleOutput", {}))["output"]).replace("\r\n", "\n")

    async def says(self, *words: str) -> str:
        """What it has said since it began to boot last, once it has said all of these."""
        latest = ""
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    _, begun, latest = (await self.said()).rpartition(_BOOTS)
                    if begun and all(each in latest for each in words):
                        return latest
                    await asyncio.sleep(_PAUSE)
        except TimeoutError:
            raise AssertionError(f"it did not say {words}, but {latest!r}") from None

    async def boots(self, times: int) -> str:
        """The same, once the counter of boots on its disk is at so many and it serves."""
        return await self.says(f"guest: boot {times}\n", "guest: ready")

    async def last_action(self) -> Shown:
        """What was ordered last, with its events."""
        (latest, *_) = (await self.cloud.ask("GET", f"{self.url}/os-instance-actions"))["instanceActions"]
        answer = await self.cloud.ask("GET", f"{self.url}/os-instance-actions/{latest['request_id']}")
        action: Shown = answer["instanceAction"]
        return action

    async def keeps_its_file(self, *, boots: int) -> None:
        """It boots for this time, and has the file of the first."""
        assert "keepsake" in files(await self.boots(boots))

    async def counted(self) -> list[int]:
        """What it has counted in its memory."""
        return [int(number) for number in re.findall(r"^counter (\d+)\n", await self.said(), re.MULTILINE)]

    async def counts_on(self) -> None:
        """It counts further from where it was: not from the beginning, and without a gap."""
        before = (await self.counted() or [0])[-1]
        async with asyncio.timeout(PATIENCE):
            while (counted := await self.counted() or [0])[-1] < before + 2:
                await asyncio.sleep(_PAUSE)
        assert counted == list(range(counted[0], counted[0] + len(counted)))


@dataclass(frozen=True)
class LinuxCloud:
    """A cloud and the id of the image that it offers by itself."""

    client: OpenStack
    image: str
    state_dir: Path

    async def flavor(self, name: str, *, ephemeral: int = 0, swap: int = 0, **sizes: int) -> str:
        """A new one of these vcpus, ram and disk; gives its id."""
        facts = {"name": name, "OS-FLV-EXT-DATA:ephemeral": ephemeral, "swap": swap, **sizes}
        answer = await self.client.ask("POST", f"{self.client.compute}/flavors", json={"flavor": facts})
        return str(answer["flavor"]["id"])

    async def boot(
        self, name: str, flavor: str, image: str = "", script: str = USER_DATA, **more: object
    ) -> LinuxServer:
        """A new server, once it is active; `script` is what it does at its first boot."""
        data = base64.b64encode(script.encode()).decode()
        made = await self.client.boot(name, image or self.image, flavor, networks="auto", user_data=data, **more)
        server = LinuxServer(self.client, made)
        await server.becomes("ACTIVE")
        return server


@asynccontextmanager
async def linux_cloud(state_dir: Path, settings: str, *arguments: str) -> AsyncIterator[LinuxCloud]:
    """A fresh one with these settings, once it offers its image."""
    path = state_dir / "linux.toml"
    path.write_text(settings)
    flags = ["--config", str(path), "--port-base", "0", *arguments]
    async with detached(flags, state_dir) as config, connect(admin(config)) as client:
        yield LinuxCloud(client, str((await image_named(client, GUEST_IMAGE))["id"]), state_dir)


async def image_named(client: OpenStack, name: str) -> Shown:
    """The image, once it is there."""
    url = f"{client.image}/images?name={name}&status=active"
    async with asyncio.timeout(PATIENCE):
        while not (images := (await client.ask("GET", url))["images"]):
            await asyncio.sleep(_PAUSE)
    image: Shown = images[0]
    return image


async def asks_metadata_service(client: OpenStack, image: Shown) -> None:
    """The guests of this image, which is the tiny Linux, are told to ask there, whether or not there is a config drive."""
    patch = [{"op": "replace", "path": "/os_command_line", "value": f"{image['os_command_line']} metadata"}]
    headers = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
    await client.ask("PATCH", f"{client.image}/images/{image['id']}", json=patch, headers=headers)
