"""Tags of what has no metadata of its own: volumes, snapshots, images. A server's tags are its metadata."""

from collections.abc import Collection, Mapping
from functools import partial
from typing import Final

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.database import Database
from novaflow.db.inserts import insert_once
from novaflow.db.schema.ec2 import ec2_tags
from novaflow.errors import LimitExceeded

_MINE: Final = ec2_tags.c.project_id == bindparam("b_project")
_ALL: Final = (
    select(ec2_tags.c.resource, ec2_tags.c.key, ec2_tags.c.value)
    .where(_MINE)
    .order_by(ec2_tags.c.resource, ec2_tags.c.key)
)
_ONE: Final = _MINE & (ec2_tags.c.resource == bindparam("b_resource")) & (ec2_tags.c.key == bindparam("b_key"))
_COUNT: Final = select(func.count()).where(_MINE, ec2_tags.c.resource == bindparam("b_resource"))
_ADD: Final = insert(ec2_tags)
_CHANGE: Final = update(ec2_tags).where(_ONE).values(value=bindparam("b_value"))


class Ec2Tags:
    """The tags of every project. A resource is named as EC2 writes it: `vol-0000002a`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def of_project(self, project_id: str) -> dict[str, dict[str, str]]:
        """By resource its tags."""

        async def work(connection: AsyncConnection) -> dict[str, dict[str, str]]:
            found: dict[str, dict[str, str]] = {}
            for row in await connection.execute(_ALL, {"b_project": project_id}):
                found.setdefault(row.resource, {})[row.key] = row.value
            return found

        return await self._db.read(work)

    async def set(self, project_id: str, resources: Collection[str], tags: Mapping[str, str], most: int) -> None:
        """Give each of these resources these tags, over those of the same keys. Raises LimitExceeded for more than `most` of one."""
        await self._db.write(partial(_set, project_id=project_id, resources=resources, tags=tags, most=most))

    async def remove(self, project_id: str, resources: Collection[str], tags: Mapping[str, str | None] | None) -> None:
        """Take tags from each of these resources: those of these keys, where a value is said only with that one; None takes all."""
        mine = (ec2_tags.c.project_id == project_id) & ec2_tags.c.resource.in_(resources)

        async def work(connection: AsyncConnection) -> None:
            if tags is None:
                await connection.execute(delete(ec2_tags).where(mine))
                return
            for key, value in tags.items():
                this = mine & (ec2_tags.c.key == key)
                await connection.execute(
                    delete(ec2_tags).where(this if value is None else this & (ec2_tags.c.value == value))
                )

        await self._db.write(work)


async def _set(
    connection: AsyncConnection, project_id: str, resources: Collection[str], tags: Mapping[str, str], most: int
) -> None:
    for resource in sorted(resources):
        for key, value in sorted(tags.items()):
            row = {"project_id": project_id, "resource": resource, "key": key, "value": value}
            if not await insert_once(connection, _ADD, row):
                await connection.execute(_CHANGE, {f"b_{name.removesuffix('_id')}": one for name, one in row.items()})
        count = (await connection.execute(_COUNT, {"b_project": project_id, "b_resource": resource})).scalar_one()
        if count > most:
            raise LimitExceeded(reason=f"{resource} would have more than {most} tags")
