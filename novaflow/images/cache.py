"""The images a compute host keeps, so that a thousand servers of one image fetch it once.

An entry is a file that was fetched whole, matched the checksum the image service has on record, was inspected here again and
only then got its name; anything else is not an entry. One fetch per image runs at a time, also among
processes that share the directory: whoever holds the image's lock file fetches, the others find the entry when they get it. The
name holds the checksum, so other data is another entry.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from novaflow.clock import Clock
from novaflow.errors import ImageRefused, ServiceUnavailable
from novaflow.images.cache_files import CacheFiles, Entry, Mismatch
from novaflow.images.inspect import check, inspect_file
from novaflow.models import ImageFacts

_CONTAINERS: Final = frozenset({"bare", "ami", "aki", "ari"})
_RUNS_AS: Final = {"raw": "raw", "iso": "raw", "qcow2": "qcow2"}  # disk format -> QEMU's name for it
_ATTEMPTS: Final = 3
_RETRY_DELAY: Final = 0.5  # seconds before the second attempt; doubles
_LOCK_POLL: Final = 0.05  # seconds between two looks at another process's lock
_LOCK_PATIENCE: Final = 1800.0  # seconds another process may take to fetch an image


class ImageSource(Protocol):
    """Where images come from (services.clients.ImageClient)."""

    def download(self, image_id: str, token: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """All the bytes of the image, or an error: NotFound, Unauthorized, Forbidden, ImageRefused, ServiceUnavailable."""
        ...


@dataclass(frozen=True, kw_only=True)
class CachedImage:
    """A verified file: `format` is what QEMU must be told (raw or qcow2), `virtual_size` the bytes of the disk inside."""

    path: Path
    format: str
    virtual_size: int


class ImageCache:
    """The cache in one directory."""

    def __init__(self, directory: Path, source: ImageSource, clock: Clock) -> None:
        self._files = CacheFiles(directory)
        self._source = source
        self._clock = clock
        self._turns: dict[str, asyncio.Lock] = {}
        self._known: dict[Entry, CachedImage] = {}

    async def fetch(self, image: ImageFacts, token: str) -> CachedImage:
        """The image as a file of this host, which must only be read.

        Raises ImageRefused for an image that is not what its metadata says or that this host does not run, and what the source raises;
        a passing failure is retried first.
        """
        digest = _require_usable(image)
        name = f"{image.id}-{digest[:16]}"
        found = await self._find(name, image)
        if found is not None:
            return found
        async with self._alone(image.id):
            found = await self._find(name, image)
            return found or await self._fetch(name, image, token)

    async def evict(self, in_use: Collection[Path], max_bytes: int, idle_seconds: float = 300.0) -> int:
        """Remove the entries unused for longest until the cache fits `max_bytes`; gives how many bytes are free for it.

        Entries in use, or used within `idle_seconds`, stay; so does what is being fetched. What broken-off fetches left goes.
        """
        kept = frozenset(path.name for path in in_use)
        before = self._clock.now().timestamp() - idle_seconds
        freed, gone = await asyncio.to_thread(self._files.evict, kept, max_bytes, before)
        self._known = {entry: image for entry, image in self._known.items() if entry.name not in gone}
        return freed

    async def _find(self, name: str, image: ImageFacts) -> CachedImage | None:
        """The entry of that name, marked as asked for now; its content is looked at when this process sees it first."""
        entry = self._files.look(name)
        if entry is None or entry.size != image.size_bytes:
            return None
        if entry not in self._known:
            self._known[entry] = await asyncio.to_thread(_inspected, image, self._files.path(name))
        self._files.touch(entry, self._clock.now().timestamp())
        return self._known[entry]

    @asynccontextmanager
    async def _alone(self, image_id: str) -> AsyncIterator[None]:
        """Hold the turn for this image, in this process and among all. Raises ServiceUnavailable when that takes too long."""
        turn = self._turns.setdefault(image_id, asyncio.Lock())
        async with turn:
            patience_ends = self._clock.monotonic() + _LOCK_PATIENCE
            while (lock := self._files.lock(image_id)) is None:
                if self._clock.monotonic() > patience_ends:
                    raise ServiceUnavailable(service="image cache", reason=f"image {image_id} stays locked")
                await self._clock.sleep(_LOCK_POLL)
            try:
                yield
            finally:
                os.close(lock)

    async def _fetch(self, name: str, image: ImageFacts, token: str) -> CachedImage:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._fetch_once(name, image, token)
            except (Mismatch, ServiceUnavailable) as error:
                if attempt < _ATTEMPTS:
                    await self._clock.sleep(_RETRY_DELAY * 2 ** (attempt - 1))
                elif isinstance(error, Mismatch):
                    raise ImageRefused(image_id=image.id, reason=f"{error}, {attempt} times") from error
                else:
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _fetch_once(self, name: str, image: ImageFacts, token: str) -> CachedImage:
        partial = await asyncio.to_thread(self._files.begin, name, image)
        try:
            async with self._source.download(image.id, token) as chunks:
                async for chunk in chunks:
                    await asyncio.to_thread(partial.write, chunk)
            await asyncio.to_thread(partial.verify)
            await asyncio.to_thread(_inspected, image, partial.path)
            await asyncio.to_thread(partial.keep)
        except BaseException:
            await asyncio.shield(asyncio.to_thread(partial.drop))
            raise
        found = await self._find(name, image)
        if found is None:
            raise ServiceUnavailable(service="image cache", reason=f"the entry of image {image.id} was removed")
        return found


def _require_usable(image: ImageFacts) -> str:
    """The digest that the data must have. Raises ImageRefused for what cannot be used, whatever its data is."""
    if image.status != "active":
        raise ImageRefused(image_id=image.id, reason=f"its status is {image.status}")
    if image.container_format not in _CONTAINERS:
        raise ImageRefused(image_id=image.id, reason=f"container format {image.container_format} cannot be run")
    digest = image.sha512 or image.md5
    if not digest:
        raise ImageRefused(image_id=image.id, reason="it has no checksum")
    return digest


def _inspected(image: ImageFacts, path: Path) -> CachedImage:
    """What the file really is, by this host's own look at it. Raises ImageRefused."""
    seen = check(image.id, image.disk_format, inspect_file(path))
    runs_as = _RUNS_AS.get(seen.format)
    if runs_as is None or seen.virtual_size is None:
        raise ImageRefused(image_id=image.id, reason=f"disk format {seen.format} cannot be run by this host")
    return CachedImage(path=path, format=runs_as, virtual_size=seen.virtual_size)
