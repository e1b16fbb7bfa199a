"""What projects and users have in use, counted in the transactions that change it.

A server is counted twice: in its project's row (project, '') and in the row (project, user) of the user who made it. One
statement changes both and locks the project's row first, so whoever holds that row holds everything that is counted of
the project, and its limits with it. A user's key pairs are counted in the row ('', user).

A reservation is added first and looked at afterwards: QuotaExceeded must end the transaction, which takes it back.
"""

from typing import Any, Final

from sqlalchemy import BigInteger, bindparam, insert, literal, or_, select, union_all, update
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db.inserts import insert_once
from novaflow.db.limits import SAID, limits_of
from novaflow.db.schema.compute import usages
from novaflow.quotas import COUNTED, QuotaLimits, Usage, less, refusal

_IN_USE: Final = 9  # in the place of where a limit comes from
_KEY_PAIR: Final = Usage(key_pairs=1)
_IS_PROJECT: Final = (usages.c.project_id == bindparam("b_project"), usages.c.user_id == "")
_IS_BOTH: Final = (usages.c.project_id == bindparam("b_project"), usages.c.user_id.in_(("", bindparam("b_user"))))
_IS_ONE: Final = (usages.c.project_id == bindparam("b_project"), usages.c.user_id == bindparam("b_user"))
_IS_USERS: Final = (usages.c.project_id == "", usages.c.user_id == bindparam("b_user"))
_ADDED: Final[dict[str, Any]] = {resource: usages.c[resource] + bindparam(f"b_{resource}") for resource in COUNTED}
_ADD: Final = update(usages).where(*_IS_BOTH).values(_ADDED)
_START: Final = insert(usages)
_HOLD: Final = select(usages.c.project_id).where(*_IS_PROJECT).with_for_update()
_READ: Final = select(*(usages.c[resource] for resource in COUNTED)).where(*_IS_ONE)

# The limits, beside empty columns; then what is counted of the project and of the user.
_STANDING: Final = union_all(
    *(said.add_columns(*(literal(0) for _ in COUNTED)) for said in SAID),
    select(literal(_IN_USE), usages.c.user_id, literal(0), *(usages.c[resource] for resource in COUNTED)).where(
        *_IS_BOTH
    ),
)

_limit: Final = bindparam("b_limit", type_=BigInteger)
_TAKE_KEY_PAIR: Final = (
    update(usages)
    .where(*_IS_USERS, or_(_limit < 0, usages.c.key_pairs < _limit))
    .values(key_pairs=usages.c.key_pairs + 1)
)
_GIVE_KEY_PAIR: Final = update(usages).where(*_IS_USERS).values(key_pairs=usages.c.key_pairs - 1)


async def reserve_servers(
    connection: AsyncConnection, ask: Usage, limits: QuotaLimits, *, project_id: str, user_id: str
) -> None:
    """Count servers, or what they grow by, in their project and of their user; raises QuotaExceeded.

    What counts are the limits in the database as they are now; `limits` count where it says nothing.
    """
    await add_servers(connection, ask, project_id=project_id, user_id=user_id)
    rows = (await connection.execute(_STANDING, {"b_project": project_id, "b_user": user_id})).all()
    found = limits_of((row[:3] for row in rows if row[0] != _IN_USE), limits)
    in_use = {row[1]: _usage(row[3:]) for row in rows if row[0] == _IN_USE}
    for usage, enforced in ((in_use[""], found.project), (in_use[user_id], found.enforced_on_user)):
        if refused := refusal(less(usage, ask), enforced, ask):
            raise refused


async def add_servers(connection: AsyncConnection, ask: Usage, *, project_id: str, user_id: str) -> None:
    """Count servers that are there whatever the limits are now."""
    added = {"b_project": project_id, "b_user": user_id} | {f"b_{name}": getattr(ask, name) for name in COUNTED}
    while True:
        counted = (await connection.execute(_ADD, added)).rowcount
        if counted == 1:  # the project's, whose lock keeps others from adding the user's
            await insert_once(connection, _START, _row(project_id, user_id, ask))
        if counted:
            return
        await insert_once(connection, _START, _row(project_id, "", Usage()))


async def release_servers(connection: AsyncConnection, ask: Usage, *, project_id: str, user_id: str) -> None:
    """Count servers, or what they shrink by, no more."""
    await add_servers(connection, less(Usage(), ask), project_id=project_id, user_id=user_id)


async def hold(connection: AsyncConnection, project_id: str) -> None:
    """Lock a project's row until the transaction ends: what is counted of it and its limits stay as they are."""
    while (await connection.execute(_HOLD, {"b_project": project_id})).one_or_none() is None:
        await insert_once(connection, _START, _row(project_id, "", Usage()))


async def reserve_key_pair(connection: AsyncConnection, user_id: str, limit: int) -> None:
    """Count one key pair more of a user who may have `limit` (-1: any number); raises QuotaExceeded."""
    while (await connection.execute(_TAKE_KEY_PAIR, {"b_user": user_id, "b_limit": limit})).rowcount == 0:
        # Nothing was changed: no such row yet, no room, or room that was made between the two statements.
        row = {"b_project": "", "b_user": user_id}
        found = (await connection.execute(_READ.with_for_update(), row)).one_or_none()
        if found is None:
            await insert_once(connection, _START, _row("", user_id, Usage()))
        elif refused := refusal(_usage(found), QuotaLimits(key_pairs=limit), _KEY_PAIR):
            raise refused


async def release_key_pair(connection: AsyncConnection, user_id: str) -> None:
    """Count one key pair less."""
    await connection.execute(_GIVE_KEY_PAIR, {"b_user": user_id})


async def read(connection: AsyncConnection, *, project_id: str = "", user_id: str = "") -> Usage:
    """What is counted now of a project, of a user in a project, or (key pairs) of a user."""
    found = (await connection.execute(_READ, {"b_project": project_id, "b_user": user_id})).one_or_none()
    return Usage() if found is None else _usage(found)


def _row(project_id: str, user_id: str, usage: Usage) -> dict[str, Any]:
    return {"project_id": project_id, "user_id": user_id} | {name: getattr(usage, name) for name in COUNTED}


def _usage(row: Any) -> Usage:
    return Usage(**dict(zip(COUNTED, row, strict=True)))
