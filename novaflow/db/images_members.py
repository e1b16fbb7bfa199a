"""Whom an image is shared with."""

from msgspec.structs import asdict
from sqlalchemy import ColumnElement, and_, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.clock import Clock
from novaflow.db.database import Database
from novaflow.db.images_rows import fetch
from novaflow.db.schema.images import image_members
from novaflow.errors import Conflict, NotFound
from novaflow.images.errors import LimitReached
from novaflow.images.image import Member
from novaflow.images.rules import MEMBERS_MAX


class ImageMembers:
    """The table of memberships."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def find(self, image_id: str, member_id: str) -> Member | None:
        """That membership, if there is one."""
        found = await self._db.read(lambda connection: _select(connection, image_id, member_id))
        return found[0] if found else None

    async def list(self, image_id: str) -> list[Member]:
        """All memberships of an image, oldest first."""
        return await self._db.read(lambda connection: _select(connection, image_id))

    async def add(self, image_id: str, member_id: str) -> Member:
        """Offer the image to a project. Raises ImageNotFound, Conflict when it is offered already, LimitReached."""
        now = self._clock.now()
        member = Member(image_id=image_id, member_id=member_id, status="pending", created_at=now, updated_at=now)

        async def work(connection: AsyncConnection) -> None:
            await fetch(connection, image_id, locked=True)
            mine = image_members.c.image_id == image_id
            count = await connection.scalar(select(func.count()).select_from(image_members).where(mine)) or 0
            if count >= MEMBERS_MAX:
                raise LimitReached(what="members for this image", attempted=count + 1, maximum=MEMBERS_MAX)
            await connection.execute(insert(image_members).values(asdict(member)))

        try:
            await self._db.write(work)
        except IntegrityError as error:
            if await self.find(image_id, member_id) == member:  # the commit was lost and applied
                return member
            raise Conflict(reason=f"Member {member_id} is duplicated for image {image_id}") from error
        return member

    async def answer(self, image_id: str, member_id: str, status: str) -> Member:
        """Record what the member says: accepted, rejected or pending. Raises NotFound."""
        now = self._clock.now()

        async def work(connection: AsyncConnection) -> None:
            said = update(image_members).where(_is(image_id, member_id)).values(status=status, updated_at=now)
            if not (await connection.execute(said)).rowcount:
                raise _absent(image_id, member_id)

        await self._db.write(work)
        found = await self.find(image_id, member_id)
        if found is None:
            raise _absent(image_id, member_id)
        return found

    async def remove(self, image_id: str, member_id: str) -> None:
        """End a membership; fine when there is none."""

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(delete(image_members).where(_is(image_id, member_id)))

        await self._db.write(work)


def _is(image_id: str, member_id: str) -> ColumnElement[bool]:
    return and_(image_members.c.image_id == image_id, image_members.c.member_id == member_id)


def _absent(image_id: str, member_id: str) -> NotFound:
    return NotFound(kind="Image member", key=f"{member_id} of {image_id}")


async def _select(connection: AsyncConnection, image_id: str, member_id: str | None = None) -> list[Member]:
    query = select(image_members).where(image_members.c.image_id == image_id).order_by(image_members.c.created_at)
    if member_id is not None:
        query = query.where(image_members.c.member_id == member_id)
    return [Member(**row) for row in (await connection.execute(query)).mappings()]
