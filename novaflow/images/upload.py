"""One upload from its first byte to an active image, or to nothing at all.

The file is locked before the upload is on record and until its end is, and data is in its place before the record says so. Whatever happens
in between, the image is `queued` again and the file is gone: here, or in `sweep` when the process died.
"""

import asyncio
from collections.abc import AsyncIterable, Callable, Coroutine
from typing import Any, Final, Protocol

from novaflow.errors import Invalid, ServiceUnavailable
from novaflow.images.errors import ImageGone
from novaflow.images.image import Image, StoredData
from novaflow.images.inspect import DiskImage, check
from novaflow.images.store import FileStore, Upload

_OPAQUE_CONTAINERS: Final = frozenset({"ovf", "ova", "docker", "compressed"})  # their content is not a disk's


class UploadRecords(Protocol):
    """What is on record of uploads (see novaflow.db.images_uploads)."""

    async def claim(self, image_id: str, upload_id: str) -> None:
        """Give a queued image to this upload. Raises ImageNotFound or Conflict."""
        ...

    async def finish(self, image_id: str, upload_id: str, data: StoredData) -> bool:
        """Make the image active; False when it is not this upload's any more."""
        ...

    async def drop(self, image_id: str, upload_id: str) -> bool:
        """Queue the image again if it is this upload's; False when the upload finished after all."""
        ...

    async def running(self) -> dict[str, str]:
        """Upload id by image id."""
        ...

    async def has_data(self, image_id: str) -> bool:
        """Whether the image's data is kept."""
        ...


class Uploads:
    """Takes uploads into one store."""

    def __init__(self, records: UploadRecords, store: FileStore, new_id: Callable[[], str]) -> None:
        self._records = records
        self._store = store
        self._new_id = new_id

    async def take(self, image: Image, data: AsyncIterable[bytes], declared: int | None) -> None:
        """Store `data`, of which the client said that it is `declared` bytes, as the image's.

        Raises Conflict unless the image is queued, Invalid when it has no formats yet or the size is another, TooLarge,
        StoreFull, ImageRefused for what the data turns out to be, and ImageGone when the image was deleted meanwhile.
        """
        _require_formats(image)
        upload_id = self._new_id()
        upload = await asyncio.to_thread(self._store.begin, image.id, upload_id)
        try:
            await self._records.claim(image.id, upload_id)
            await self._receive(image, upload_id, upload, data, declared)
        except BaseException:
            await _finished(self._give_back(image.id, upload_id, upload))
            raise
        await asyncio.to_thread(upload.close)

    async def _receive(
        self, image: Image, upload_id: str, upload: Upload, data: AsyncIterable[bytes], declared: int | None
    ) -> None:
        async for chunk in data:
            await asyncio.to_thread(upload.write, chunk)
        seen = await asyncio.to_thread(upload.seal)
        if declared is not None and declared != seen.size:
            raise Invalid(reason=f"Size of the uploaded data is {seen.size} bytes and not the {declared} declared")
        stored = await asyncio.to_thread(upload.keep, _virtual_size(image, seen))
        if not await self._records.finish(image.id, upload_id, stored):
            raise ImageGone(image_id=image.id)

    async def _give_back(self, image_id: str, upload_id: str, upload: Upload) -> None:
        """Undo a failed upload; what the records cannot say now is left to `sweep`."""
        try:
            is_dropped = await self._records.drop(image_id, upload_id)
        except ServiceUnavailable:
            is_dropped = False
        await asyncio.to_thread(upload.drop if is_dropped else upload.close)

    async def sweep(self) -> int:
        """Clean up after uploads whose process died and deletions it did not finish; gives how much was found."""
        dead = [
            (image_id, upload_id)
            for image_id, upload_id in (await self._records.running()).items()
            if not await asyncio.to_thread(self._store.is_uploading, image_id, upload_id)
        ]
        for image_id, upload_id in dead:
            await self._records.drop(image_id, upload_id)
        stray = await asyncio.to_thread(self._store.sweep_uploads)
        lost = 0
        for image_id, inode in (await asyncio.to_thread(self._store.unheld)).items():
            if not await self._records.has_data(image_id):
                lost += await asyncio.to_thread(self._store.forget, image_id, inode)
        return len(dead) + stray + lost


def _require_formats(image: Image) -> None:
    missing = [name for name in ("disk_format", "container_format") if not getattr(image, name)]
    if missing:
        noun = "Property" if len(missing) == 1 else "Properties"
        raise Invalid(reason=f"{noun} {', '.join(missing)} must be set prior to saving data.")


def _virtual_size(image: Image, seen: DiskImage) -> int | None:
    """Bytes of the disk inside, for contents that are a disk. Raises ImageRefused."""
    if image.container_format in _OPAQUE_CONTAINERS:
        return None
    return check(image.id, image.disk_format or "", seen).virtual_size


async def _finished(work: Coroutine[Any, Any, None]) -> None:
    """Let `work` end even when whoever waits for it is cancelled again."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
