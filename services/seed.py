"""What a fresh cloud is given so that the first `server create` needs nothing else: the tiny guest image, public."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

from novaflow.config import Config
from novaflow.lab.openstack import OpenStack
from novaflow.virt.guest import GuestFiles, build_guest
from services.detached import admin, logged_in

IMAGE_NAME: Final = "novaflow-guest"
IMAGE_WITH_AGENT: Final = f"{IMAGE_NAME}-agent"
_CHUNK: Final = 2**20


def cache_dir() -> Path:
    """Where built guests are kept for every cloud of this user."""
    return Path.home() / ".cache" / "novaflow" / "guest"


async def build(on_progress: Callable[[str], None]) -> GuestFiles:
    """The guest image's files, built unless they are there already. Raises GuestFailed saying what is missing."""
    return await asyncio.to_thread(build_guest, cache_dir(), on_progress)


async def guest_image(config: Config, *, with_agent: bool = False) -> str:
    """Put the guest image into the cloud's image service, once; gives its name. `with_agent` is the one that has qemu-guest-agent.

    Raises GuestFailed when it cannot be built, ServiceUnavailable when the cloud does not take it.
    """
    name = IMAGE_WITH_AGENT if with_agent else IMAGE_NAME
    async with logged_in(admin(config)) as cloud:
        if not await _is_there(cloud, name):
            files = await asyncio.to_thread(build_guest, cache_dir(), with_agent=with_agent)
            await _upload(cloud, files, name, {"hw_qemu_guest_agent": "yes"} if with_agent else {})
    return name


async def _is_there(cloud: OpenStack, name: str) -> bool:
    return bool((await cloud.ask("GET", f"{cloud.image}/images?name={name}&status=active"))["images"])


async def _upload(cloud: OpenStack, files: GuestFiles, name: str, properties: dict[str, str]) -> None:
    """A kernel, a ramdisk, and the image that names the two; and the same guest as a disk that boots by itself."""
    public = {"visibility": "public", "min_disk": 0, "min_ram": 0}
    kernel = await cloud.upload_image(
        f"{name}-kernel", _read(files.kernel), disk_format="aki", container_format="aki", **public
    )
    ramdisk = await cloud.upload_image(
        f"{name}-ramdisk", _read(files.ramdisk), disk_format="ari", container_format="ari", **public
    )
    await cloud.upload_image(
        f"{name}-disk", _read(files.disk), disk_format="qcow2", container_format="bare", **properties, **public
    )
    await cloud.upload_image(
        name,
        _read(files.blank),
        disk_format="ami",
        container_format="ami",
        kernel_id=kernel,
        ramdisk_id=ramdisk,
        os_command_line=files.command_line,
        **properties,
        **public,
    )


async def _read(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, _CHUNK):
            yield chunk
