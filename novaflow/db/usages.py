"""What projects and users have in use, counted in the transactions that change it.

A reservation is one conditional UPDATE: of many at the limit, exactly those that fit succeed. A project's servers are
counted in the row (project, ''), a user's key pairs in the row ('', user).
"""

from typing import Any, Final

from sqlalchemy import BigInteger, bindparam, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from novaflow.db.inserts import insert_once
from novaflow.db.schema.compute import usages
from novaflow.models import QuotaLimits, Usage
from novaflow.quotas import COUNTED, refusal

_ROW: Final = (usages.c.project_id == bindparam("b_project"), usages.c.user_id == bindparam("b_user"))


def _within(resource: str) -> ColumnElement[bool]:
    asked: ColumnElement[int] = bindparam(f"b_{resource}", type_=BigInteger)
    limit: ColumnElement[int] = bindparam(f"b_{resource}_limit", type_=BigInteger)
    return or_(asked <= 0, limit < 0, usages.c[resource] + asked <= limit)


_ADD: Final[dict[str, Any]] = {resource: usages.c[resource] + bindparam(f"b_{resource}") for resource in COUNTED}
_RESERVE: Final = update(usages).where(*_ROW, *(_within(resource) for resource in COUNTED)).values(_ADD)
_CHANGE: Final = update(usages).where(*_ROW).values(_ADD)
_READ: Final = select(*(usages.c[resource] for resource in COUNTED)).where(*_ROW)
_START: Final = insert(usages)
_UNLIMITED: Final = QuotaLimits(instances=-1, cores=-1, ram=-1, key_pairs=-1)


async def reserve(
    connection: AsyncConnection, ask: Usage, limits: QuotaLimits, *, project_id: str = "", user_id: str = ""
) -> None:
    """Take `ask` out of what `limits` leave; raises QuotaExceeded."""
    row = {"b_project": project_id, "b_user": user_id}
    asked = row | _amounts(ask) | {f"b_{resource}_limit": getattr(limits, resource) for resource in COUNTED}
    while (await connection.execute(_RESERVE, asked)).rowcount == 0:
        # Nothing was changed: no such row yet, no room, or room that was made between the two statements.
        found = (await connection.execute(_READ.with_for_update(), row)).one_or_none()
        if found is None:
            fresh = {"project_id": project_id, "user_id": user_id} | dict.fromkeys(COUNTED, 0)
            await insert_once(connection, _START, fresh)
        elif refused := refusal(_usage(found), limits, ask):
            raise refused


async def release(connection: AsyncConnection, ask: Usage, *, project_id: str = "", user_id: str = "") -> None:
    """Give back what was reserved."""
    given = Usage(**{resource: -getattr(ask, resource) for resource in COUNTED})
    await connection.execute(_CHANGE, {"b_project": project_id, "b_user": user_id} | _amounts(given))


async def reserve_servers(
    connection: AsyncConnection, ask: Usage, limits: QuotaLimits, *, project_id: str, user_id: str
) -> None:
    """Count servers, or what they grow by, in their project and of their user; raises QuotaExceeded."""
    await reserve(connection, ask, limits, project_id=project_id)


async def add_servers(connection: AsyncConnection, ask: Usage, *, project_id: str, user_id: str) -> None:
    """Count servers that are there whatever the limits are now."""
    await reserve_servers(connection, ask, _UNLIMITED, project_id=project_id, user_id=user_id)


async def release_servers(connection: AsyncConnection, ask: Usage, *, project_id: str, user_id: str) -> None:
    """Count servers, or what they shrink by, no more."""
    await release(connection, ask, project_id=project_id)


async def read(connection: AsyncConnection, *, project_id: str = "", user_id: str = "") -> Usage:
    """What is in use now."""
    found = (await connection.execute(_READ, {"b_project": project_id, "b_user": user_id})).one_or_none()
    return Usage() if found is None else _usage(found)


def _amounts(usage: Usage) -> dict[str, int]:
    return {f"b_{resource}": getattr(usage, resource) for resource in COUNTED}


def _usage(row: Any) -> Usage:
    return Usage(**dict(zip(COUNTED, row, strict=True)))
