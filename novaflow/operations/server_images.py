"""Images made of servers: snapshots, backups, and those that a shelved server waits as.

The image is made first, so that its id can be recorded with the task; a server that cannot be copied now is refused before that.
"""

import logging
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from novaflow.db.orders import NO_PARAMS
from novaflow.db.quotas import Quotas
from novaflow.errors import LimitExceeded, NovaflowError
from novaflow.messages import BACKUP_INSTANCE, SHELVE_INSTANCE, SNAPSHOT_INSTANCE, ServerOrder
from novaflow.models import Context, NewImage, Server
from novaflow.operations.server_orders import ServerOrders, host_of, order_of
from novaflow.operations.snapshot_rules import BACKUP, SNAPSHOT, image_of
from novaflow.states import Event
from novaflow.tasks import TaskParams
from rpc.procedure import Cast

_UNLIMITED: Final = -1
log = logging.getLogger(__name__)


class ImageRecords(Protocol):
    """What making images asks of the image service."""

    async def create(self, image: NewImage, token: str) -> str:
        """A new image without data; gives its id. Raises Invalid, Forbidden, Unauthorized, Conflict, LimitExceeded, ServiceUnavailable."""
        ...

    async def delete(self, image_id: str, token: str) -> None:
        """Remove an image. Raises NotFound, Forbidden, Unauthorized, Conflict, ServiceUnavailable."""
        ...


class ServerImages:
    """All raise NotFound, WrongState, NeverActive, Conflict for a server on no host, and what the image service raises."""

    def __init__(self, orders: ServerOrders, images: ImageRecords, quotas: Quotas) -> None:
        self._orders = orders
        self._images = images
        self._quotas = quotas

    async def snapshot(self, context: Context, server_id: str, name: str, metadata: Mapping[str, str]) -> str:
        """Copy a server's disk to a new image; gives its id. Raises LimitExceeded for too much metadata."""
        await self._check_metadata(context, metadata)
        server = await self._orders.get(context, server_id)
        self._orders.check(context, server, Event.SNAPSHOT_ORDERED)
        image = await self._image(context, server, name, extra=metadata)
        return await self._copy(context, server, Event.SNAPSHOT_ORDERED, SNAPSHOT_INSTANCE, image)

    async def backup(
        self,
        context: Context,
        server_id: str,
        name: str,
        metadata: Mapping[str, str],
        *,
        backup_type: str,
        rotation: int,
    ) -> str:
        """The same, with no more than `rotation` images of this type kept of the server. Raises LimitExceeded."""
        await self._check_metadata(context, metadata)
        server = await self._orders.get(context, server_id)
        self._orders.check(context, server, Event.BACKUP_ORDERED)
        extra = {**metadata, "backup_type": backup_type}
        image = await self._image(context, server, name, kind=BACKUP, extra=extra)
        more = TaskParams(backup_type=backup_type, rotation=rotation)
        return await self._copy(context, server, Event.BACKUP_ORDERED, BACKUP_INSTANCE, image, more)

    async def shelve(self, context: Context, server_id: str) -> None:
        """Switch a server off and keep it as an image. Raises Locked."""
        server = await self._orders.get(context, server_id)
        self._orders.check(context, server, Event.SHELVE_ORDERED)
        image = await self._image(context, server, f"{server.name}-shelved")
        await self._copy(context, server, Event.SHELVE_ORDERED, SHELVE_INSTANCE, image)

    async def _image(
        self,
        context: Context,
        server: Server,
        name: str,
        *,
        kind: str = SNAPSHOT,
        extra: Mapping[str, str] | None = None,
    ) -> NewImage:
        base = (await self._orders.servers.spec(server.id)).image
        return image_of(context, server, base, name, kind=kind, extra=extra)

    async def _copy(
        self,
        context: Context,
        server: Server,
        event: Event,
        procedure: Cast[ServerOrder],
        image: NewImage,
        params: TaskParams = NO_PARAMS,
    ) -> str:
        image_id = await self._images.create(image, context.token)
        wanted = msgspec.structs.replace(params, image_id=image_id, image_name=image.name)
        try:
            ordered = await self._orders.accept(context, server, event, params=wanted)
        except NovaflowError:
            await self.forget(image_id, context.token)  # it was given another task in the meantime
            raise
        await self._orders.send(procedure.at(host_of(ordered)), order_of(context, ordered))
        return image_id

    async def forget(self, image_id: str, token: str) -> None:
        """Remove an image that nobody will fill, or that nobody needs any more; what cannot be removed is said."""
        try:
            await self._images.delete(image_id, token)
        except NovaflowError as error:
            log.warning("image %s of a server is left behind: %s", image_id, error)

    async def _check_metadata(self, context: Context, metadata: Mapping[str, str]) -> None:
        limit = (await self._quotas.limits(context.project_id, self._orders.config.quota)).metadata_items
        if limit != _UNLIMITED and len(metadata) > limit:
            raise LimitExceeded(reason="Image metadata limit exceeded")
