"""The images a guest boots from: asked of the image service in the user's name, kept in the host's cache.

The metadata is asked for at every build, so that nobody boots from an image he may no longer see, cached or not. An order
that recovery sent again carries no user's token, and a user's token may have ended while the build waited: then the
service's own token is used, which is what it is for.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Protocol, TypeVar

import msgspec

from novaflow.clock import Clock
from novaflow.errors import ImageRefused, Invalid, ServiceUnavailable, Unauthorized
from novaflow.images.cache import ImageCache
from novaflow.images.cache import ImageSource as Bytes
from novaflow.models import BuildPlan, ImageFacts, Server, Value
from novaflow.virt.driver import DiskImage
from services.compute.image_use import ImageUse

# As nova/virt/libvirt/driver.py sets it for a guest whose kernel is loaded directly.
COMMAND_LINE: Final = "root=/dev/vda console=tty0 console=ttyS0 no_timer_check"
GIB: Final = 2**30
PAUSES: Final = (0.5, 1.0, 2.0, 4.0)  # seconds between tries of a service that is away

T = TypeVar("T")


class ImageSource(Bytes, Protocol):
    """The image service, as services.clients.ImageClient speaks to it."""

    async def show(self, image_id: str, token: str) -> ImageFacts:
        """The image's metadata; raises NotFound, Unauthorized, Forbidden, ServiceUnavailable."""
        ...


class Found(Value, frozen=True, kw_only=True):
    """The metadata of what a server boots from, and the token that may read it."""

    disk: ImageFacts
    token: str
    root_bytes: int = 0  # of the flavor's root disk; 0: as large as the image
    kernel: ImageFacts | None = None
    ramdisk: ImageFacts | None = None

    def __repr__(self) -> str:
        return f"Found(disk={self.disk.id!r})"


class BootFiles(Value, frozen=True, kw_only=True):
    """The same as files in the host's cache. Without a `disk`: for a guest that brings its own."""

    disk: DiskImage | None = None
    kernel: str = ""
    ramdisk: str = ""
    command_line: str = ""
    properties: dict[str, str] = msgspec.field(default_factory=dict)  # of the image


class BootImages:
    """Finds and fetches what servers boot from, for all hosts of a process."""

    def __init__(
        self, source: ImageSource, directory: Path, clock: Clock, service_token: Callable[[], Awaitable[str]]
    ) -> None:
        self._source = source
        self._cache = ImageCache(directory, source, clock)
        self.use = ImageUse(directory / "users")
        self._clock = clock
        self._service_token = service_token

    async def find(self, server: Server, token: str, *, image_id: str = "") -> Found:
        """The metadata of the server's image (or of `image_id`, made of its disk), and of its kernel and ramdisk if it has them.

        Raises NotFound, Forbidden, ImageRefused for an image that is not active, Invalid for one that does not fit into the flavor,
        ServiceUnavailable.
        """
        token, disk = await self._show_with_any(image_id or server.image_id, token)
        root_bytes = server.flavor.disk_gb * GIB
        _check_size(root_bytes, disk.size_bytes)
        kernel_id, ramdisk_id = server.kernel_id or disk.kernel_id, server.ramdisk_id or disk.ramdisk_id
        return await self._with_kernel(Found(disk=disk, token=token, root_bytes=root_bytes), kernel_id, ramdisk_id)

    async def find_system(self, image_id: str, token: str) -> Found:
        """The metadata of an image that shall boot in a guest's place, whatever the size of the guest's own disk. Raises like `find`."""
        token, disk = await self._show_with_any(image_id, token)
        return await self._with_kernel(Found(disk=disk, token=token), disk.kernel_id, disk.ramdisk_id)

    async def _with_kernel(self, found: Found, kernel_id: str, ramdisk_id: str) -> Found:
        kernel = await self._show(kernel_id, found.token) if kernel_id else None
        ramdisk = await self._show(ramdisk_id, found.token) if kernel_id and ramdisk_id else None
        return msgspec.structs.replace(found, kernel=kernel, ramdisk=ramdisk)

    async def fetch(self, found: Found) -> BootFiles:
        """The files, from the cache or by way of it. Raises like `find`, and ImageRefused for bytes that are not what they should be.

        A disk may be larger inside than its file is: that counts, and is known only now.
        """
        disk = await self._cache.fetch(found.disk, found.token)
        _check_size(found.root_bytes, disk.virtual_size)
        boot_disk = DiskImage(path=str(disk.path), format=disk.format, size_bytes=found.disk.size_bytes)
        if found.kernel is None:
            return BootFiles(disk=boot_disk, properties=found.disk.properties)
        kernel = await self._cache.fetch(found.kernel, found.token)
        ramdisk = await self._cache.fetch(found.ramdisk, found.token) if found.ramdisk else None
        return BootFiles(
            disk=boot_disk,
            kernel=str(kernel.path),
            ramdisk=str(ramdisk.path) if ramdisk else "",
            command_line=found.disk.properties.get("os_command_line") or COMMAND_LINE,
            properties=found.disk.properties,
        )

    async def fetch_kernel(self, plan: BuildPlan, token: str) -> BootFiles:
        """What a guest needs that brings its own disk: the kernel and ramdisk of its image, if that has them.

        Its image may be gone by now and is not asked for. Raises like `find`.
        """
        image = plan.image or ImageFacts(id=plan.server.image_id)
        kernel_id = plan.server.kernel_id or image.kernel_id
        if not kernel_id:
            return BootFiles(properties=image.properties)
        token, kernel = await self._show_with_any(kernel_id, token)
        ramdisk_id = plan.server.ramdisk_id or image.ramdisk_id
        ramdisk = await self._cache.fetch(await self._show(ramdisk_id, token), token) if ramdisk_id else None
        return BootFiles(
            kernel=str((await self._cache.fetch(kernel, token)).path),
            ramdisk=str(ramdisk.path) if ramdisk else "",
            command_line=image.properties.get("os_command_line") or COMMAND_LINE,
            properties=image.properties,
        )

    def note_use(self, host: str, server_id: str, files: BootFiles) -> None:
        """The guest of this server is about to be made of these files, which stay in the cache as long as it is there."""
        self.use.note(host, server_id, _paths(files))

    def note_use_too(self, host: str, server_id: str, files: BootFiles) -> None:
        """The same, of a guest that keeps what it was made of: these are another system's, in its place."""
        self.use.note_too(host, server_id, _paths(files))

    async def evict(self, max_bytes: int) -> int:
        """Remove what no guest uses, the longest unused first, until the cache fits; answers how many bytes were freed."""
        return await self._cache.evict(await asyncio.to_thread(self.use.images), max_bytes)

    async def _show_with_any(self, image_id: str, token: str) -> tuple[str, ImageFacts]:
        if token:
            try:
                return token, await self._show(image_id, token)
            except Unauthorized:
                pass  # it ended while the build waited
        token = await self._patiently(self._service_token)
        return token, await self._show(image_id, token)

    async def _show(self, image_id: str, token: str) -> ImageFacts:
        facts = await self._patiently(lambda: self._source.show(image_id, token))
        if facts.status != "active":
            raise ImageRefused(image_id=image_id, reason=f"it is {facts.status}, not active")
        return facts

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """A service that restarts is waited for; another host would not find it sooner."""
        for pause in PAUSES:
            try:
                return await ask()
            except ServiceUnavailable:
                await self._clock.sleep(pause)
        return await ask()


def _paths(files: BootFiles) -> list[Path]:
    named = (files.disk.path if files.disk else "", files.kernel, files.ramdisk)
    return [Path(path) for path in named if path]


def _check_size(root_bytes: int, image_bytes: int) -> None:
    """Nova's FlavorDiskSmallerThanImage; a flavor without a disk of its own takes any image."""
    if root_bytes and image_bytes > root_bytes:
        raise Invalid(
            reason="Flavor's disk is too small for requested image. "
            f"Flavor disk is {root_bytes} bytes, image is {image_bytes} bytes."
        )
