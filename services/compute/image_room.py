"""Room for new images: what no guest needs leaves the cache, the longest unused first, when the cache outgrows its share."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

import msgspec

from novaflow.clock import Clock
from novaflow.config import Compute
from novaflow.errors import NovaflowError
from services.compute.host import ComputeHost
from services.compute.images import BootImages

SETTLING_TIME: Final = 300.0  # seconds a note of a guest's images is kept without a guest
log = logging.getLogger(__name__)


class ImageRoom:
    """Keeps the cache that the hosts of this process share within its share of the disk."""

    def __init__(self, images: BootImages, hosts: Sequence[ComputeHost], settings: Compute, clock: Clock) -> None:
        self._images = images
        self._hosts = hosts
        self._settings = settings
        self._clock = clock

    async def run(self) -> None:
        """Look every `compute.image_cache_interval` seconds, until cancelled."""
        while True:
            await self._clock.sleep(self._settings.image_cache_interval)
            try:
                await self.make()
            except (NovaflowError, OSError, msgspec.MsgspecError) as error:
                log.warning("the image cache is looked through later: %s", error)
            except Exception:
                log.exception("the image cache could not be looked through")

    async def make(self) -> int:
        """Look once; answers how many bytes were freed. Nothing is removed while there is a guest whose images nobody noted."""
        for host in self._hosts:
            if unknown := await self._forget_gone(host):
                log.warning("host %s: the image cache stays, guest %s is of unknown images", host.name, min(unknown))
                return 0
        return await self._images.evict(self._settings.image_cache_bytes)

    async def _forget_gone(self, host: ComputeHost) -> set[str]:
        """Drop the notes of guests that are gone; answers the guests that have none. One that is parked may be a guest again."""
        before = self._clock.now().timestamp() - SETTLING_TIME
        guests = {guest.server_id for guest in await host.driver.guests()}
        kept = guests | set(await host.driver.parked())
        noted = await asyncio.to_thread(self._images.use.noted, host.name)
        gone = {server_id for server_id in noted - kept if not host.slots.is_busy(server_id)}
        await asyncio.to_thread(self._images.use.forget, host.name, gone, before)
        return {server_id for server_id in guests - noted if not host.slots.is_busy(server_id)}
