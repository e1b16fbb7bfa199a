"""Which upload an image's data may come from: claimed, finished or given back by one conditional update each.

An upload leaves its name on the image it finished, so that work that runs again after a lost commit knows itself.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Update, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.clock import Clock
from novaflow.db.database import Database
from novaflow.db.schema.images import images
from novaflow.errors import Conflict
from novaflow.images.errors import ImageNotFound
from novaflow.images.image import Status, StoredData


class ImageUploads:
    """The uploads' side of the table of images."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def claim(self, image_id: str, upload_id: str) -> None:
        """Give a queued image to one upload. Raises ImageNotFound, and Conflict unless the image is queued."""
        stamp = self._clock.now()
        await self._db.write(lambda connection: _claim(connection, image_id, upload_id, stamp))

    async def finish(self, image_id: str, upload_id: str, data: StoredData) -> bool:
        """Make the image active with this data; False when the upload does not own the image any more."""
        stamp = self._clock.now()
        values = {name: getattr(data, name) for name in data.__struct_fields__}

        async def work(connection: AsyncConnection) -> bool:
            mine = _owned(image_id, upload_id)
            if (await connection.execute(mine.values(status=Status.ACTIVE, updated_at=stamp, **values))).rowcount:
                return True
            return await _owner(connection, image_id) == (Status.ACTIVE, upload_id)

        return await self._db.write(work)

    async def drop(self, image_id: str, upload_id: str) -> bool:
        """Queue the image again, if it still belongs to this upload; False when the upload finished after all."""
        stamp = self._clock.now()

        async def work(connection: AsyncConnection) -> bool:
            mine = _owned(image_id, upload_id)
            await connection.execute(mine.values(status=Status.QUEUED, upload_id=None, updated_at=stamp))
            return await _owner(connection, image_id) != (Status.ACTIVE, upload_id)

        return await self._db.write(work)

    async def running(self) -> dict[str, str]:
        """Upload id by image id, for every upload that is on record as running."""

        async def work(connection: AsyncConnection) -> dict[str, str]:
            query = select(images.c.id, images.c.upload_id).where(images.c.status == Status.SAVING)
            return {row.id: row.upload_id for row in await connection.execute(query)}

        return await self._db.read(work)

    async def has_data(self, image_id: str) -> bool:
        """Whether the image's record says that its data is kept."""
        owner = await self._db.read(lambda connection: _owner(connection, image_id))
        return owner is not None and owner[0] in (Status.ACTIVE, Status.DEACTIVATED)


async def _claim(connection: AsyncConnection, image_id: str, upload_id: str, stamp: datetime) -> None:
    queued = update(images).where(images.c.id == image_id, images.c.status == Status.QUEUED)
    claimed = await connection.execute(queued.values(status=Status.SAVING, upload_id=upload_id, updated_at=stamp))
    if claimed.rowcount:
        return
    owner = await _owner(connection, image_id)
    if owner is None or owner[0] is Status.DELETED:
        raise ImageNotFound(key=image_id)
    if owner != (Status.SAVING, upload_id):
        raise Conflict(reason=f"Image status transition from {owner[0]} to saving is not allowed")


async def _owner(connection: AsyncConnection, image_id: str) -> tuple[Any, ...] | None:
    query = select(images.c.status, images.c.upload_id).where(images.c.id == image_id)
    row = (await connection.execute(query)).first()
    return None if row is None else tuple(row)


def _owned(image_id: str, upload_id: str) -> Update:
    return update(images).where(
        images.c.id == image_id, images.c.status == Status.SAVING, images.c.upload_id == upload_id
    )
