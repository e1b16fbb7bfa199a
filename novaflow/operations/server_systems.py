"""What runs in a server: a rescue system for a while, another image for good, another password.

Passwords travel with the order alone: they are neither stored nor logged.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from novaflow.config import Config
from novaflow.db import accompaniments
from novaflow.db.quotas import Quotas
from novaflow.errors import Forbidden, Invalid, NotFound, Unauthorized
from novaflow.messages import REBUILD_INSTANCE, RESCUE_INSTANCE, SET_ADMIN_PASSWORD, UNRESCUE_INSTANCE, PasswordOrder
from novaflow.models import Context, ImageFacts, InjectedFile, Server, Value
from novaflow.operations.boot_rules import boot_files, check_files, check_image, check_metadata
from novaflow.operations.server_boot import Images
from novaflow.operations.server_orders import ServerOrders, host_of
from novaflow.states import Event
from novaflow.tasks import TaskParams
from rpc.procedure import Cast

_KEPT: Final = msgspec.UNSET


class RebuildRequest(Value, frozen=True, kw_only=True):
    """What a server shall be from now on; what is not given stays, but for files, which are put in anew or not at all."""

    image_id: str
    admin_password: str
    files: tuple[InjectedFile, ...] = ()
    name: str | msgspec.UnsetType = _KEPT
    description: str | msgspec.UnsetType | None = _KEPT
    metadata: dict[str, str] | msgspec.UnsetType = _KEPT
    disk_config: str | msgspec.UnsetType = _KEPT
    access_ipv4: str | msgspec.UnsetType = _KEPT
    access_ipv6: str | msgspec.UnsetType = _KEPT

    def __repr__(self) -> str:
        return f"RebuildRequest(image_id={self.image_id!r})"

    @property
    def changes(self) -> Mapping[str, Any]:
        """What is given of the server's own columns."""
        named = ("name", "description", "metadata", "disk_config", "access_ipv4", "access_ipv6")
        given = {name: getattr(self, name) for name in named}
        return {name: value for name, value in given.items() if value is not _KEPT}


class ServerSystems:
    """All raise NotFound, Locked, WrongState, NeverActive, and Conflict for a server on no host."""

    def __init__(self, orders: ServerOrders, images: Images, quotas: Quotas, config: Config) -> None:
        self._orders = orders
        self._images = images
        self._quotas = quotas
        self._config = config

    async def rescue(self, context: Context, server_id: str, *, admin_password: str, image_id: str = "") -> None:
        """Boot a rescue image (empty: the server's own) with the server's disk beside it. Raises Invalid for an unusable image."""
        server = await self._orders.get(context, server_id)
        self._orders.check(context, server, Event.RESCUE_ORDERED)
        if image_id:
            await self._rescue_image(context, image_id)
        params = TaskParams(image_id=image_id)
        ordered = await self._orders.accept(context, server, Event.RESCUE_ORDERED, params=params)
        await self._send(RESCUE_INSTANCE, context, ordered, admin_password)

    async def unrescue(self, context: Context, server_id: str) -> None:
        """Boot the server's own system again."""
        await self._orders.act(context, server_id, Event.UNRESCUE_ORDERED, UNRESCUE_INSTANCE)

    async def rebuild(self, context: Context, server_id: str, request: RebuildRequest) -> Server:
        """Replace the server's disk by a fresh one made of an image; answers the server as it is recorded then.

        Raises Invalid for an unusable image, LimitExceeded for too much metadata or too many files.
        """
        server = await self._orders.get(context, server_id)
        self._orders.check(context, server, Event.REBUILD_ORDERED)
        image = await self._rebuild_image(context, server, request.image_id)
        await self._check_limits(server, request)
        kernel_id, ramdisk_id = boot_files(image)
        changes = {**request.changes, "image_id": image.id, "kernel_id": kernel_id, "ramdisk_id": ramdisk_id}
        ordered = await self._orders.accept(
            context,
            server,
            Event.REBUILD_ORDERED,
            changes={**changes, "progress": 0},
            accompany=accompaniments.of_rebuild(image, request.files),
        )
        await self._send(REBUILD_INSTANCE, context, ordered, request.admin_password)
        return ordered

    async def change_password(self, context: Context, server_id: str, admin_password: str) -> None:
        """Have the guest's agent set its administrator's password."""
        server = await self._orders.get(context, server_id)
        ordered = await self._orders.accept(context, server, Event.PASSWORD_ORDERED)
        await self._send(SET_ADMIN_PASSWORD, context, ordered, admin_password)

    async def _rescue_image(self, context: Context, image_id: str) -> None:
        try:
            image = await self._images.show(image_id, context.token)
        except (NotFound, Forbidden, Unauthorized) as error:
            raise Invalid(reason=f"Requested rescue image '{image_id}' is not supported") from error
        if image.status != "active":
            raise Invalid(reason=f"Image {image_id} is not active.")

    async def _rebuild_image(self, context: Context, server: Server, image_id: str) -> ImageFacts:
        try:
            image = await self._images.show(image_id, context.token)
        except NotFound as error:
            raise Invalid(reason="Cannot find image for rebuild") from error
        except (Forbidden, Unauthorized) as error:
            raise Invalid(reason=f"Not authorized for image {image_id}.") from error
        check_image(image, server.flavor, context)
        return image

    async def _check_limits(self, server: Server, request: RebuildRequest) -> None:
        limits = await self._quotas.limits(server.project_id, self._config.quota)
        if isinstance(request.metadata, dict):
            check_metadata(request.metadata, limits)
        check_files(request.files, limits)

    async def _send(
        self, procedure: Cast[PasswordOrder], context: Context, server: Server, admin_password: str
    ) -> None:
        order = PasswordOrder(
            context=context, server_id=server.id, task_id=server.task_id or "", admin_password=admin_password
        )
        await self._orders.send(procedure.at(host_of(server)), order)
