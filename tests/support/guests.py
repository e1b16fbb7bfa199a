"""Specifications of guests for tests of drivers."""

import asyncio
import re
import uuid
from pathlib import Path
from typing import Any

from novaflow.models import Address, Flavor
from novaflow.virt.driver import DiskImage, Driver, GuestSpec

SMALL = Flavor(id="1", name="m1.small", vcpus=1, ram_mb=64, disk_gb=1)
ADDRESS = Address(network="private", ip="10.0.0.5", mac="fa:16:3e:00:00:05")


def raw_image(path: Path) -> DiskImage:
    """A raw image at `path`."""
    return DiskImage(path=str(path), format="raw", size_bytes=path.stat().st_size)


def guest_spec(**changes: Any) -> GuestSpec:
    """A small guest with an id of its own and one address."""
    facts: dict[str, Any] = {
        "server_id": str(uuid.uuid4()),
        "name": "web",
        "project_id": "project",
        "user_id": "user",
        "flavor": SMALL,
        "addresses": (ADDRESS,),
    }
    return GuestSpec(**(facts | changes))


async def console_has(driver: Driver, server_id: str, text: bytes, *, times: int = 1, seconds: float = 60.0) -> bytes:
    """The console, once `text` is in it so many times; raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while (said := await driver.console_output(server_id, 2**20)).count(text) < times:
            await asyncio.sleep(0.02)
        return said


async def counts_on(driver: Driver, server_id: str, *, more: int = 2, seconds: float = 60.0) -> None:
    """Wait until a guest that counts on its console (`counter 7`) has counted so much further."""
    before = _last_count(await driver.console_output(server_id, 2**20))
    async with asyncio.timeout(seconds):
        while _last_count(await driver.console_output(server_id, 2**20)) < before + more:
            await asyncio.sleep(0.05)


def _last_count(said: bytes) -> int:
    return max((int(number) for number in re.findall(rb"counter (\d+)\r?\n", said)), default=0)
