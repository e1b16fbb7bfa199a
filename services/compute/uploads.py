"""Images that this host makes, at the image service: filled, taken away again, and the old ones of a backup's rotation removed.

Everything is done in the user's name as long as his token is good. An order that recovery sent again carries none, and a token may end
while a large disk is copied: then the service's own token is used, which is what it is for.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol, TypeVar

from novaflow.clock import Clock
from novaflow.errors import Conflict, Forbidden, NotFound, ServiceUnavailable, Unauthorized
from novaflow.models import Context, ImageFacts
from services.compute.images import PAUSES

ACTIVE: Final = "active"
UPLOAD_PAUSES: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)  # seconds: a copy that took long is not given up soon
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

        A service that restarts is waited for, and so is one that still believes in an upload that was cut short. Raises NotFound for
        an image that was deleted meanwhile, Conflict, Forbidden, ImageRefused, ServiceUnavailable, OSError.
        """

        async def fill(valid: str) -> None:
            if (await self._store.show(image_id, valid)).status not in _FILLED:
                await self._store.upload(image_id, file, valid)

        for pause in UPLOAD_PAUSES:
            try:
                return await self._as_user(token, fill)
            except (Conflict, ServiceUnavailable):
                await self._clock.sleep(pause)
        return await self._as_user(token, fill)

    async def discard(self, image_id: str, token: str, *, unless_filled: bool = False) -> None:
        """Remove the image; fine when there is none. With `unless_filled` one that has its data is its owner's, and stays."""
        try:
            await self._patiently(token, lambda valid: self._discard(image_id, valid, unless_filled=unless_filled))
        except NotFound:
            return

    async def rotate(self, context: Context, server_id: str, backup_type: str, keep: int) -> None:
        """Remove the project's oldest backups of this type beyond `keep`; images of others that look like them do not count.

        One that may not be removed stays, as in Nova (nova/compute/manager.py, _rotate_backups).
        """
        kind = {"image_type": "backup", "backup_type": backup_type, "instance_uuid": server_id}
        found = await self._patiently(context.token, lambda valid: self._store.list(kind, valid))
        backups = [image for image in found if image.owner == context.project_id and image.status == ACTIVE]
        for image in reversed(backups[keep:]):
            try:
                await self.discard(image.id, context.token)
            except (Conflict, Forbidden) as refusal:
                log.info("backup %s of server %s stays: %s", image.id, server_id, refusal)

    async def _discard(self, image_id: str, token: str, *, unless_filled: bool) -> None:
        if unless_filled and (await self._store.show(image_id, token)).status in _FILLED:
            return
        await self._store.delete(image_id, token)

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
