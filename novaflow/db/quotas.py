"""The limits of projects, users and classes, and what projects and users use.

Limits of a project and its users are changed with the project's row of usages locked, as every reservation does its own: so a
limit that was checked against what is in use is not passed by a reservation that had read the old one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Table, bindparam, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db import limits, recounts, usages, volume_usage
from novaflow.db.database import Database
from novaflow.db.limits import Limits
from novaflow.db.recounts import Correction
from novaflow.db.schema.aggregates import quota_class_limits, server_groups, user_quota_limits
from novaflow.db.schema.compute import quota_limits
from novaflow.db.schema.networking import floating_addresses, security_groups
from novaflow.errors import Invalid
from novaflow.quotas import QuotaLimits, Usage, plus, with_overrides

__all__ = ["Correction", "Limits", "Quotas", "Standing"]

_CLASS: Final = select(quota_class_limits.c.resource, quota_class_limits.c.value).where(
    quota_class_limits.c.class_name == bindparam("b_class")
)
_ALLOTTED: Final = (
    select(user_quota_limits.c.resource, func.sum(user_quota_limits.c.value))
    .where(user_quota_limits.c.project_id == bindparam("b_project"), user_quota_limits.c.value >= 0)
    .group_by(user_quota_limits.c.resource)
)
# What is counted where it is kept: of a project, and of a user in it; addresses belong to projects alone.
_KEPT: Final = select(
    *(
        select(func.count()).where(table.c.project_id == bindparam("b_project")).scalar_subquery().label(resource)
        for resource, table in (
            ("server_groups", server_groups),
            ("security_groups", security_groups),
            ("floating_ips", floating_addresses),
        )
    )
)
_KEPT_BY_USER: Final = select(
    *(
        select(func.count())
        .where(table.c.project_id == bindparam("b_project"), table.c.user_id == bindparam("b_user"))
        .scalar_subquery()
        .label(resource)
        for resource, table in (("server_groups", server_groups), ("security_groups", security_groups))
    )
)


@dataclass(frozen=True)
class Standing:
    """What may be had and is had by a project and one of its users, and what all users together were allotted."""

    limits: Limits
    of_project: Usage
    of_user: Usage
    allotted: Mapping[str, int]


Check = Callable[[Standing], None]
"""Raises what forbids a change of limits."""


class Quotas:
    """Limits and usage, in the database."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def limits(self, project_id: str, defaults: QuotaLimits, *, user_id: str = "") -> QuotaLimits:
        """A project's limits: its own where it has some, else the default class's, else `defaults`.

        With a user, his own limits in the project come before these.
        """
        work = partial(limits.read, defaults=defaults, project_id=project_id, user_id=user_id)
        return (await self._db.read(work)).user

    async def standing(self, project_id: str, user_id: str, defaults: QuotaLimits) -> Standing:
        """Limits and usage of a project and a user in it."""
        return await self._db.read(
            partial(_standing, project_id=project_id, user_id=user_id, defaults=defaults),
        )

    async def set(
        self,
        project_id: str,
        changes: Mapping[str, int],
        *,
        user_id: str = "",
        defaults: QuotaLimits | None = None,
        check: Check | None = None,
    ) -> None:
        """Give a project, or a user in it, limits of its own for some resources: all of them or none.

        Raises Invalid for an unknown resource, and what `check` raises at the sight of what counts at that moment.
        """
        _refuse_unknown(changes)

        async def work(connection: AsyncConnection) -> None:
            await usages.hold(connection, project_id)
            if check is not None:
                check(await _standing(connection, project_id, user_id, defaults or QuotaLimits()))
            if user_id:
                await _replace(connection, user_quota_limits, changes, project_id=project_id, user_id=user_id)
            else:
                await _replace(connection, quota_limits, changes, project_id=project_id)

        if changes:
            await self._db.write(work)

    async def reset(self, project_id: str, *, user_id: str = "") -> None:
        """Let the defaults count for a project again, and the project's for its users; or only for one user."""
        mine = user_quota_limits.c.project_id == project_id
        statements = [
            delete(user_quota_limits).where(mine & (user_quota_limits.c.user_id == user_id) if user_id else mine)
        ]
        if not user_id:
            statements.append(delete(quota_limits).where(quota_limits.c.project_id == project_id))

        async def work(connection: AsyncConnection) -> None:
            await usages.hold(connection, project_id)
            for statement in statements:
                await connection.execute(statement)

        await self._db.write(work)

    async def class_limits(self, name: str, defaults: QuotaLimits) -> QuotaLimits:
        """The limits of a class; what it does not say is as in `defaults`."""

        async def work(connection: AsyncConnection) -> dict[str, int]:
            rows = await connection.execute(_CLASS, {"b_class": name})
            return {row.resource: row.value for row in rows}

        return with_overrides(defaults, await self._db.read(work))

    async def set_class(self, name: str, changes: Mapping[str, int]) -> None:
        """Change limits of a class. Raises Invalid for an unknown resource."""
        _refuse_unknown(changes)
        if changes:
            await self._db.write(partial(_replace, table=quota_class_limits, changes=changes, class_name=name))

    async def usage(self, project_id: str, user_id: str) -> Usage:
        """What a project's servers take, and how many key pairs a user has: what is kept by counters."""

        async def work(connection: AsyncConnection) -> Usage:
            of_project = await usages.read(connection, project_id=project_id)
            of_user = await usages.read(connection, user_id=user_id)
            return msgspec.structs.replace(of_project, key_pairs=of_user.key_pairs)

        return await self._db.read(work)

    async def reconcile(self) -> list[Correction]:
        """Set every counter that is wrong to what is really in use; right also while servers come and go."""
        corrections: list[Correction] = []
        for who in await self._db.read(recounts.suspects):
            corrections += await self._db.write(partial(recounts.recount, who=who))
        return corrections


async def _standing(connection: AsyncConnection, project_id: str, user_id: str, defaults: QuotaLimits) -> Standing:
    found = await limits.read(connection, defaults, project_id=project_id, user_id=user_id)
    allotted = (await connection.execute(_ALLOTTED, {"b_project": project_id})).all()
    return Standing(
        limits=found,
        of_project=await _usage(connection, project_id),
        of_user=await _usage(connection, project_id, user_id) if user_id else Usage(),
        allotted={resource: int(total) for resource, total in allotted},
    )


async def _usage(connection: AsyncConnection, project_id: str, user_id: str = "") -> Usage:
    """Of a project, or of a user in it: servers by their counters, the rest counted as it is."""
    counted = await usages.read(connection, project_id=project_id, user_id=user_id)
    query = _KEPT_BY_USER if user_id else _KEPT
    kept = (await connection.execute(query, {"b_project": project_id, "b_user": user_id})).one()
    of_volumes = await volume_usage.counted(connection, project_id, user_id)
    return plus(msgspec.structs.replace(counted, **kept._mapping), of_volumes)


async def _replace(connection: AsyncConnection, table: Table[Any], changes: Mapping[str, int], **owner: str) -> None:
    mine: list[ColumnElement[bool]] = [table.c[column] == value for column, value in owner.items()]
    await connection.execute(delete(table).where(*mine, table.c.resource.in_(changes)))
    rows = [owner | {"resource": resource, "value": value} for resource, value in changes.items()]
    await connection.execute(insert(table), rows)


def _refuse_unknown(changes: Mapping[str, int]) -> None:
    unknown = [resource for resource in changes if resource not in QuotaLimits.__struct_fields__]
    if unknown:
        raise Invalid(reason=f"quota_set: there is no quota for '{unknown[0]}'")
