"""The limits that projects have of their own, the default class's for all others, and what projects use."""

from collections.abc import Mapping
from typing import Final

import msgspec
from sqlalchemy import bindparam, delete, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db import usages
from novaflow.db.database import Database
from novaflow.db.schema.compute import quota_limits
from novaflow.errors import Invalid
from novaflow.models import QuotaLimits, Usage
from novaflow.quotas import with_overrides

DEFAULT_CLASS: Final = ""  # in the place of a project: what counts for every project without a limit of its own
_OVERRIDES: Final = (
    select(quota_limits.c.resource, quota_limits.c.value)
    .where(or_(quota_limits.c.project_id == DEFAULT_CLASS, quota_limits.c.project_id == bindparam("b_project_id")))
    .order_by(quota_limits.c.project_id)  # the class comes first, the project's own go over it
)
_RESET: Final = delete(quota_limits).where(quota_limits.c.project_id == bindparam("b_project_id"))


class Quotas:
    """Limits and usage of projects, in the database."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def limits(self, project_id: str, defaults: QuotaLimits) -> QuotaLimits:
        """A project's limits: its own where it has some, else the default class's, else `defaults`."""

        async def work(connection: AsyncConnection) -> dict[str, int]:
            rows = await connection.execute(_OVERRIDES, {"b_project_id": project_id})
            return {row.resource: row.value for row in rows}

        return with_overrides(defaults, await self._db.read(work))

    async def set(self, project_id: str, changes: Mapping[str, int]) -> None:
        """Give a project (or DEFAULT_CLASS) limits of its own for some resources. Raises Invalid for an unknown one."""
        unknown = [resource for resource in changes if resource not in QuotaLimits.__struct_fields__]
        if unknown:
            raise Invalid(reason=f"quota_set: there is no quota for '{unknown[0]}'")
        rows = [{"project_id": project_id, "resource": resource, "value": value} for resource, value in changes.items()]

        async def work(connection: AsyncConnection) -> None:
            mine = (quota_limits.c.project_id == project_id) & quota_limits.c.resource.in_(changes)
            await connection.execute(delete(quota_limits).where(mine))
            await connection.execute(insert(quota_limits), rows)

        if rows:
            await self._db.write(work)

    async def reset(self, project_id: str) -> None:
        """Let a project have the defaults again."""

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(_RESET, {"b_project_id": project_id})

        await self._db.write(work)

    async def usage(self, project_id: str, user_id: str) -> Usage:
        """What a project uses, and how many key pairs a user has."""

        async def work(connection: AsyncConnection) -> Usage:
            of_project = await usages.read(connection, project_id=project_id)
            of_user = await usages.read(connection, user_id=user_id)
            return msgspec.structs.replace(of_project, key_pairs=of_user.key_pairs)

        return await self._db.read(work)
