"""Images that this host makes, at the image service: filled, taken away again, and the old ones of a backup's rotation removed.

Everything is done in the user's name as long as his token is good. An order that recovery sent again carries none, and a token may end
while a large disk is copied: then the service's own token is used, which is what it is for.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol, TypeVar

from novaflow.clock import Clock
from novaflow.errors import Conflict, Forbidden, ImageRefused, NotFound, ServiceUnavailable, Unauthorized
from novaflow.models import ImageFacts, Server
from services.compute.images import PAUSES

ACTIVE: Final = "active"
_FILLED: Final = frozenset({ACTIVE, "deactivated"})
T = TypeVar("T")
log = logging.getLogger(__name__)


class ImageStore(Protocol):
    """The image service, as services.clients.ImageClient speaks to it."""

    async def show(self, image_id: str, token: str) -> ImageFacts:
        """The image's metadata; raises NotFound, Unauthorized, Forbidden, ServiceUnavailable."""
        ...

    async def upload(self, image_id: str, file: Path, token: str) -> None:
        """Fill a queued image with the file's bytes; raises also Conflict, ImageRefused, OSError."""
        ...

    async def delete(self, image_id: str, token: str) -> None:
        """Remove an image; raises also Conflict."""
        ...

    async def list(self, filters: Mapping[str, str], token: str) -> Sequence[ImageFacts]:
        """The images with these properties, the newest first."""
        ...


class ImageUploads:
    """The image service for whoever makes images, for all hosts of a process."""

    def __init__(self, store: ImageStore, clock: Clock, service_token: Callable[[], Awaitable[str]]) -> None:
        self._store = store
        self._clock = clock
        self._service_token = service_token

    async def upload(self, image_id: str, file: Path, token: str) -> None:
        """Make the file the image's data; fine when an earlier try has done so.

        Raises NotFound for an image that was deleted meanwhile, Forbidden, ImageRefused, ServiceUnavailable, OSError.
        """
        for pause in (*PAUSES, None):
            try:
                if (await self._as_user(token, lambda valid: self._store.show(image_id, valid))).status in _FILLED:
                    return
                await self._as_user(token, lambda valid: self._store.upload(image_id, file, valid))
            except (Conflict, ServiceUnavailable) as error:  # an upload that was cut short may not be given up yet
                if pause is None:
                    raise ImageRefused(image_id=image_id, reason=str(error)) from error
                await self._clock.sleep(pause)
            else:
                return

    async def discard(self, image_id: str, token: str, *, unless_filled: bool = False) -> None:
        """Remove the image; fine when there is none. With `unless_filled` one that has its data is its owner's, and stays."""
        try:
            if unless_filled and (await self._patiently(token, self._shown(image_id))).status in _FILLED:
                return
            await self._patiently(token, lambda valid: self._store.delete(image_id, valid))
        except NotFound:
            return

    async def rotate(self, server: Server, backup_type: str, keep: int, token: str) -> None:
        """Remove the oldest backups of this type beyond `keep`. One that may not be removed stays, as in Nova (_rotate_backups)."""
        kind = {"image_type": "backup", "backup_type": backup_type, "instance_uuid": server.id}
        found = await self._patiently(token, lambda valid: self._store.list(kind, valid))
        backups = [image for image in found if image.owner == server.project_id and image.status == ACTIVE]
        for image in reversed(backups[keep:]):
            try:
                await self.discard(image.id, token)
            except (Conflict, Forbidden) as refusal:
                log.info("backup %s of server %s stays: %s", image.id, server.id, refusal)

    def _shown(self, image_id: str) -> Callable[[str], Awaitable[ImageFacts]]:
        return lambda valid: self._store.show(image_id, valid)

    async def _patiently(self, token: str, ask: Callable[[str], Awaitable[T]]) -> T:
        """A service that restarts is waited for."""
        for pause in PAUSES:
            try:
                return await self._as_user(token, ask)
            except ServiceUnavailable:
                await self._clock.sleep(pause)
        return await self._as_user(token, ask)

    async def _as_user(self, token: str, ask: Callable[[str], Awaitable[T]]) -> T:
        if token:
            try:
                return await ask(token)
            except Unauthorized:
                pass  # it ended while the work was done
        return await ask(await self._service_token())
