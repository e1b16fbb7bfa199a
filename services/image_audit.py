"""Images of servers that nobody wants, found and removed: what an image service or a worker that was away has left behind.

Whoever orders an image makes its record at the image service first, and whoever does not fill it, or needs it no more, removes it. Both
may die in between, or find the image service away. So the conductor looks again: at images whose orders have ended, and at records
without data of which no order knows, when it finds them a second time.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final, Protocol

from novaflow.clock import Clock
from novaflow.db.ordered_images import OrderedImages
from novaflow.errors import Conflict, Forbidden, NotFound, NovaflowError
from novaflow.models import ImageFacts

WINDOW: Final = timedelta(days=1)  # servers that have not changed for longer were seen to before
KINDS: Final = ("snapshot", "backup")
_EMPTY: Final = frozenset({"queued", "saving"})
log = logging.getLogger(__name__)


class ImageRecords(Protocol):
    """The image service, as services.clients.ImageClient speaks to it."""

    async def show(self, image_id: str, token: str) -> ImageFacts:
        """Raises NotFound."""
        ...

    async def list(self, filters: Mapping[str, str], token: str) -> Sequence[ImageFacts]:
        """Those with these properties."""
        ...

    async def delete(self, image_id: str, token: str) -> None:
        """Raises NotFound, Forbidden, Conflict."""
        ...


class ImageAudit:
    """Looks for unwanted images, in the service's own name."""

    def __init__(
        self, images: ImageRecords, ordered: OrderedImages, token: Callable[[], Awaitable[str]], clock: Clock
    ) -> None:
        self._images = images
        self._ordered = ordered
        self._token = token
        self._clock = clock
        self._seen_to: set[str] = set()  # unwanted images that are gone, or may not be removed
        self._suspects: set[str] = set()  # records without data and without an order, seen once

    async def run(self, interval: float) -> None:
        """Look every `interval` seconds, until cancelled. An outage is waited out."""
        while True:
            await self._clock.sleep(interval)
            try:
                await self.look()
            except NovaflowError as error:
                log.warning("images that nobody wants are looked for later: %s", error)
            except Exception:
                log.exception("images that nobody wants could not be looked for")

    async def look(self) -> int:
        """Remove what nobody wants; answers how many images."""
        return await self._remove_unwanted() + await self._remove_unknown()

    async def _remove_unwanted(self) -> int:
        found = {one.image_id: one for one in await self._ordered.unwanted(self._clock.now() - WINDOW)}
        self._seen_to &= found.keys()
        removed = 0
        for image_id in found.keys() - self._seen_to:
            removed += await self._remove(image_id, found[image_id].server_id, found[image_id].unless_filled)
            self._seen_to.add(image_id)
        return removed

    async def _remove_unknown(self) -> int:
        unknown, removed = await self._unknown(), 0
        for image_id in unknown.keys() & self._suspects:
            removed += await self._remove(image_id, unknown[image_id], unless_filled=True)
        self._suspects = set(unknown)
        return removed

    async def _unknown(self) -> dict[str, str]:
        """Images without data that say they are of a server of ours, which knows nothing of them: image -> server."""
        token = await self._token()
        of_server = {
            image.id: image.properties["instance_uuid"]
            for kind in KINDS
            for image in await self._images.list({"status": "queued", "image_type": kind}, token)
            if "instance_uuid" in image.properties
        }
        known = await self._ordered.of_servers(set(of_server.values()))
        return {
            image_id: server_id
            for image_id, server_id in of_server.items()
            if server_id in known and image_id not in known[server_id]
        }

    async def _remove(self, image_id: str, server_id: str, unless_filled: bool) -> bool:  # noqa: FBT001
        token = await self._token()
        try:
            if unless_filled and (await self._images.show(image_id, token)).status not in _EMPTY:
                return False
            await self._images.delete(image_id, token)
        except NotFound:
            return False
        except (Conflict, Forbidden) as refusal:
            log.warning("image %s of server %s, which nobody wants, stays: %s", image_id, server_id, refusal)
            return False
        log.warning("image %s of server %s is removed: nobody wants it", image_id, server_id)
        return True
