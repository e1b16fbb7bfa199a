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
_CHUNK: Final = 2**20


def cache_dir() -> Path:
    """Where built guests are kept for every cloud of this user."""
    return Path.home() / ".cache" / "novaflow" / "guest"


async def build(on_progress: Callable[[str], None]) -> GuestFiles:
    """The guest image's files, built unless they are there already. Raises GuestFailed saying what is missing."""
    return await asyncio.to_thread(build_guest, cache_dir(), on_progress)


async def guest_image(config: Config) -> None:
    """Put the guest image into the cloud's image service, once.

    Raises GuestFailed when it cannot be built, ServiceUnavailable when the cloud does not take it.
    """
    async with logged_in(admin(config)) as cloud:
        if not await _is_there(cloud):
            await _upload(cloud, await build(lambda _: None))


async def _is_there(cloud: OpenStack) -> bool:
    return bool((await cloud.ask("GET", f"{cloud.image}/images?name={IMAGE_NAME}&status=active"))["images"])


async def _upload(cloud: OpenStack, files: GuestFiles) -> None:
    """A kernel, a ramdisk, and the image that names the two; and the same guest as a disk that boots by itself."""
    public = {"visibility": "public", "min_disk": 0, "min_ram": 0}
    kernel = await cloud.upload_image(
        f"{IMAGE_NAME}-kernel", _read(files.kernel), disk_format="aki", container_format="aki", **public
    )
    ramdisk = await cloud.upload_image(
        f"{IMAGE_NAME}-ramdisk", _read(files.ramdisk), disk_format="ari", container_format="ari", **public
    )
    await cloud.upload_image(
        f"{IMAGE_NAME}-disk", _read(files.disk), disk_format="qcow2", container_format="bare", **public
    )
    await cloud.upload_image(
        IMAGE_NAME,
        _read(files.blank),
        disk_format="ami",
        container_format="ami",
        kernel_id=kernel,
        ramdisk_id=ramdisk,
        os_command_line=files.command_line,
        **public,
    )


async def _read(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, _CHUNK):
            yield chunk
