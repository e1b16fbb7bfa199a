"""What projects and users have of volumes: counted where they are kept, with the project's row of usages locked while it matters."""

from typing import Any, Final

from sqlalchemy import bindparam, false, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db import limits, usages
from novaflow.db.inserts import insert_once
from novaflow.db.schema.volumes import volume_snapshots, volumes
from novaflow.quotas import QuotaLimits, Usage, less, refusal

_VOLUMES: Final = select(func.count(), func.coalesce(func.sum(volumes.c.size_gb), 0)).where(
    volumes.c.project_id == bindparam("b_project"), volumes.c.is_deleted == false()
)
_SNAPSHOTS: Final = select(func.count(), func.coalesce(func.sum(volume_snapshots.c.size_gb), 0)).where(
    volume_snapshots.c.project_id == bindparam("b_project"), volume_snapshots.c.is_deleted == false()
)


async def counted(connection: AsyncConnection, project_id: str, user_id: str = "") -> Usage:
    """What a project has, or a user in it. A snapshot takes its size of the gigabytes, as in Cinder."""
    who = {"b_project": project_id, "b_user": user_id}
    of_volumes, of_snapshots = _VOLUMES, _SNAPSHOTS
    if user_id:
        of_volumes = of_volumes.where(volumes.c.user_id == bindparam("b_user"))
        of_snapshots = of_snapshots.where(volume_snapshots.c.user_id == bindparam("b_user"))
    number, size = (await connection.execute(of_volumes, who)).one()
    snapshots, copied = (await connection.execute(of_snapshots, who)).one()
    return Usage(volumes=number, gigabytes=int(size) + int(copied), snapshots=snapshots)


async def add(connection: AsyncConnection, statement: Any, row: Any, ask: Usage, defaults: QuotaLimits) -> None:
    """Write the row of something that takes `ask`. Raises QuotaExceeded, which must end the transaction."""
    project_id, user_id = row["project_id"], row["user_id"]
    await usages.hold(connection, project_id)
    if not await insert_once(connection, statement, row):
        return  # this write runs again
    found = await limits.read(connection, defaults, project_id=project_id, user_id=user_id)
    for who, enforced in (("", found.project), (user_id, found.enforced_on_user)):
        usage = less(await counted(connection, project_id, who), ask)
        if refused := refusal(usage, enforced, ask):
            raise refused
