"""The flavors that servers can be made of. A server keeps a copy: deleting or changing a flavor does not change it."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, delete, insert, or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.database import Database
from novaflow.db.inserts import conflicting
from novaflow.db.schema.hosts import flavor_projects, flavors
from novaflow.errors import Conflict, NotFound
from novaflow.models import Flavor

_FIELDS: Final = Flavor.__struct_fields__
_ALL: Final = select(*(flavors.c[name] for name in _FIELDS)).order_by(flavors.c.id)
_ONE: Final = _ALL.where(flavors.c.id == bindparam("b_id"))
_SHARED: Final = select(flavor_projects.c.flavor_id).where(flavor_projects.c.project_id == bindparam("b_project_id"))
_VISIBLE: Final = _ALL.where(or_(flavors.c.is_public == true(), flavors.c.id.in_(_SHARED)))
_PROJECTS: Final = (
    select(flavor_projects.c.project_id)
    .where(flavor_projects.c.flavor_id == bindparam("b_id"))
    .order_by(flavor_projects.c.project_id)
)


class Flavors:
    """The flavors of the cloud, in the database."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def all(self, *, project_id: str | None = None) -> list[Flavor]:
        """Every flavor by id, or those that one project may use."""

        async def work(connection: AsyncConnection) -> list[Flavor]:
            query = _ALL if project_id is None else _VISIBLE
            rows = await connection.execute(query, {} if project_id is None else {"b_project_id": project_id})
            return [_flavor_of(row) for row in rows]

        return await self._db.read(work)

    async def get(self, flavor_id: str) -> Flavor:
        """One flavor. Raises NotFound."""
        return await self._db.read(partial(_get, flavor_id=flavor_id))

    async def create(self, flavor: Flavor) -> Flavor:
        """Add a flavor; raises Conflict when its id or its name is taken, in Nova's words."""

        async def work(connection: AsyncConnection) -> Flavor:
            same = or_(flavors.c.id == flavor.id, flavors.c.name == flavor.name)
            taken = (await connection.execute(select(flavors.c.id, flavors.c.name).where(same))).all()
            if any(row.name == flavor.name for row in taken):
                raise Conflict(reason=f"Flavor with name {flavor.name} already exists.")
            if taken:
                raise Conflict(reason=f"Flavor with ID {flavor.id} already exists.")
            await connection.execute(insert(flavors).values({name: getattr(flavor, name) for name in _FIELDS}))
            return flavor

        with conflicting(f"Flavor with name {flavor.name} already exists."):
            return await self._db.write(work)

    async def describe(self, flavor_id: str, description: str | None) -> Flavor:
        """Change the description. Raises NotFound."""

        async def work(connection: AsyncConnection) -> Flavor:
            await connection.execute(update(flavors).where(flavors.c.id == flavor_id).values(description=description))
            return await _get(connection, flavor_id)

        return await self._db.write(work)

    async def delete(self, flavor_id: str) -> None:
        """Remove a flavor. Raises NotFound."""

        async def work(connection: AsyncConnection) -> None:
            if (await connection.execute(delete(flavors).where(flavors.c.id == flavor_id))).rowcount == 0:
                raise NotFound(kind="Flavor", key=flavor_id)

        await self._db.write(work)

    async def set_extra_specs(self, flavor_id: str, specs: Mapping[str, str]) -> Flavor:
        """Add extra specs, or change those of the same keys. Raises NotFound."""
        return await self._respecify(flavor_id, lambda known: known | dict(specs))

    async def delete_extra_spec(self, flavor_id: str, key: str) -> Flavor:
        """Remove one extra spec; fine when there is none. Raises NotFound."""
        return await self._respecify(flavor_id, lambda known: {name: known[name] for name in known if name != key})

    async def projects(self, flavor_id: str) -> list[str]:
        """The projects that may use a flavor that is not public."""

        async def work(connection: AsyncConnection) -> list[str]:
            return list((await connection.execute(_PROJECTS, {"b_id": flavor_id})).scalars())

        return await self._db.read(work)

    async def add_access(self, flavor_id: str, project_id: str) -> None:
        """Let a project use a flavor. Raises Conflict when it may already, NotFound."""

        async def work(connection: AsyncConnection) -> None:
            await _get(connection, flavor_id)
            await connection.execute(insert(flavor_projects).values(flavor_id=flavor_id, project_id=project_id))

        taken = f"Flavor access already exists for flavor {flavor_id} and project {project_id} combination."
        with conflicting(taken):
            await self._db.write(work)

    async def remove_access(self, flavor_id: str, project_id: str) -> None:
        """Take that back. Raises NotFound when the project had no access."""
        mine = (flavor_projects.c.flavor_id == flavor_id) & (flavor_projects.c.project_id == project_id)

        async def work(connection: AsyncConnection) -> None:
            if (await connection.execute(delete(flavor_projects).where(mine))).rowcount == 0:
                raise NotFound(kind="Flavor access", key=f"{flavor_id} / {project_id}")

        await self._db.write(work)

    async def _respecify(self, flavor_id: str, change: Callable[[dict[str, str]], dict[str, str]]) -> Flavor:
        async def work(connection: AsyncConnection) -> Flavor:
            known = await _get(connection, flavor_id, is_locked=True)
            specs = change(known.extra_specs)
            await connection.execute(update(flavors).where(flavors.c.id == flavor_id).values(extra_specs=specs))
            return msgspec.structs.replace(known, extra_specs=specs)

        return await self._db.write(work)


async def _get(connection: AsyncConnection, flavor_id: str, *, is_locked: bool = False) -> Flavor:
    query = _ONE.with_for_update() if is_locked else _ONE
    row = (await connection.execute(query, {"b_id": flavor_id})).one_or_none()
    if row is None:
        raise NotFound(kind="Flavor", key=flavor_id)
    return _flavor_of(row)


def _flavor_of(row: Any) -> Flavor:
    return Flavor(**dict(zip(_FIELDS, row, strict=True)))
