"""The image records: created, changed and deleted, each in one conditional transaction.

Who may do it is decided before (novaflow.images.access), what a change may do is decided by the `edit` given to `change`. Each
piece of work remembers what it wrote: run again after a lost commit, it knows its own doing and does nothing twice.
"""

from collections.abc import Callable
from datetime import datetime

from msgspec.structs import replace
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.clock import Clock
from novaflow.db import images_rows as rows
from novaflow.db.database import Database
from novaflow.db.images_query import page
from novaflow.db.schema.images import image_members, image_properties, image_tags, images
from novaflow.errors import Conflict
from novaflow.images.errors import ImageNotFound, NotPermitted
from novaflow.images.image import Image, Status
from novaflow.images.query import ImageQuery


class Images:
    """The table of images."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def create(self, image: Image) -> Image:
        """Record a new image. Raises Conflict when its id is taken, also by a deleted one."""
        has_run = False

        async def work(connection: AsyncConnection) -> None:
            nonlocal has_run
            may_be_mine, has_run = has_run, True
            taken = await connection.scalar(select(images.c.created_at).where(images.c.id == image.id))
            if taken is None:
                await rows.write(connection, image)
            elif not may_be_mine or taken != image.created_at:
                raise _taken(image.id)

        try:
            await self._db.write(work)
        except IntegrityError as error:
            raise _taken(image.id) from error
        return image

    async def get(self, image_id: str) -> Image:
        """The image. Raises ImageNotFound, also once it is deleted."""
        return await self._db.read(lambda connection: rows.fetch(connection, image_id))

    async def list(self, query: ImageQuery) -> list[Image]:
        """One page. Raises Invalid when the marker is not an image."""
        return await self._db.read(lambda connection: page(connection, query))

    async def change(self, image_id: str, edit: Callable[[Image], Image]) -> Image:
        """Apply `edit`, which may refuse by raising, to the image as it is now. Raises ImageNotFound."""
        stamp = self._clock.now()
        written: Image | None = None

        async def work(connection: AsyncConnection) -> Image:
            nonlocal written
            before = await rows.fetch(connection, image_id, locked=True)
            if before == written:
                return before
            written = replace(edit(before), updated_at=stamp)
            await rows.rewrite(connection, before, written)
            return written

        return await self._db.write(work)

    async def delete(self, image_id: str) -> None:
        """Forget the image and what hangs on it. Raises ImageNotFound, and NotPermitted while it is protected."""
        stamp = self._clock.now()
        has_run = False

        async def work(connection: AsyncConnection) -> None:
            nonlocal has_run
            may_be_mine, has_run = has_run, True
            query = select(images.c.status, images.c.protected, images.c.deleted_at).where(images.c.id == image_id)
            row = (await connection.execute(query.with_for_update())).first()
            if row is not None and row.deleted_at == stamp and may_be_mine:
                return
            if row is None or row.status is Status.DELETED:
                raise ImageNotFound(key=image_id)
            if row.protected:
                raise NotPermitted(rule="delete_image", reason=f"Image {image_id} is protected and cannot be deleted.")
            await _mark_deleted(connection, image_id, stamp)

        await self._db.write(work)


def _taken(image_id: str) -> Conflict:
    return Conflict(reason=f"Image ID {image_id} already exists!")


async def _mark_deleted(connection: AsyncConnection, image_id: str, stamp: datetime) -> None:
    gone = update(images).where(images.c.id == image_id)
    await connection.execute(gone.values(status=Status.DELETED, deleted_at=stamp, updated_at=stamp))
    for table in (image_properties, image_tags, image_members):
        await connection.execute(table.delete().where(table.c.image_id == image_id))
