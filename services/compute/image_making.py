"""An image of a guest's disk: copied to a file on this host, and from there to the image service.

<directory of the host>/snapshots/<task id>    the copy, until it is there, and never longer

The image is on record at the image service before the task is ordered, so whoever does not fill it takes it away again.
"""

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from novaflow.errors import GuestFailed, NotFound, NovaflowError
from services.compute.carrying_out import Job, Order
from services.compute.host import ComputeHost
from services.compute.uploads import ImageUploads

SNAPSHOTS: Final = "snapshots"
SUPERSEDED: Final = "superseded"
log = logging.getLogger(__name__)


class ImageMaking:
    """Makes images of one host's guests, `compute.snapshots_at_once` at the same time."""

    def __init__(self, host: ComputeHost, uploads: ImageUploads) -> None:
        self.uploads = uploads
        self._host = host
        self._directory = host.directory / SNAPSHOTS
        self._turns = asyncio.Semaphore(host.config.compute.snapshots_at_once)

    async def clear(self) -> None:
        """Remove what an earlier process has left: its orders come again, and copy again."""
        await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)

    async def make(self, job: Job, image_id: str, copied: Callable[[], Awaitable[None]]) -> None:
        """Fill the image with the guest's disk as it is now; `copied` is done between the copy and its upload.

        Raises TaskSuperseded when the server is taken over, GuestFailed, and what ImageUploads raises. The copy is gone afterwards.
        """
        file = self._directory / job.ask.task_id
        await job.unless_taken_over(self._turns.acquire())
        try:
            await asyncio.to_thread(self._directory.mkdir, parents=True, exist_ok=True)
            with job.hop("snapshot"):
                await job.unless_taken_over(self._host.driver.snapshot(job.ask.server_id, file))
            await copied()
            await job.unless_taken_over(self.uploads.upload(image_id, file, job.ask.context.token))
        except OSError as error:
            reason = f"the copy of its disk cannot be kept or read: {error.strerror or error}"
            raise GuestFailed(operation="snapshot", server_id=job.ask.server_id, reason=reason) from error
        finally:
            self._turns.release()
            await asyncio.shield(asyncio.to_thread(_remove, file))

    async def discard_missed(self, ask: Order, *, unless_filled: bool) -> None:
        """Take away the image of a task that was superseded before this host began with it, or while it was down."""
        try:
            task = await self._host.records.task(ask)
        except NotFound:
            return
        if task.state != SUPERSEDED or not task.params.image_id:
            return
        try:
            await self.uploads.discard(task.params.image_id, ask.context.token, unless_filled=unless_filled)
        except NovaflowError as error:
            log.warning("image %s of server %s could not be removed: %s", task.params.image_id, ask.server_id, error)


def _remove(file: Path) -> None:
    """What cannot be removed now goes at the next start."""
    with suppress(OSError):
        file.unlink()
