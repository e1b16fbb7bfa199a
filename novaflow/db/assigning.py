"""What a compute host is told of the task it works on, in one read."""

from typing import Final

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from novaflow.db import moving
from novaflow.db.records import PLAN_COLUMNS, plan_of
from novaflow.db.schema.compute import server_builds, servers, tasks
from novaflow.tasks import Assignment, TaskParams

_TASK: Final = (tasks.c.action, tasks.c.params)
_FIND: Final = (
    select(*PLAN_COLUMNS, *_TASK)
    .join_from(servers, server_builds, server_builds.c.server_id == servers.c.id)
    .join(tasks, tasks.c.id == servers.c.task_id)
    .where(servers.c.id == bindparam("b_id"), servers.c.task_id == bindparam("b_task_id"))
)


async def find(connection: AsyncConnection, server_id: str, task_id: str) -> Assignment | None:
    """The task with all it needs; None when it does not own the server."""
    row = (await connection.execute(_FIND, {"b_id": server_id, "b_task_id": task_id})).one_or_none()
    if row is None:
        return None
    action, params = row[-len(_TASK) :]
    return Assignment(
        plan=plan_of(row[: -len(_TASK)]),
        action=action,
        params=params or TaskParams(),
        migration=await moving.look(connection, server_id),
    )


def workers(assignment: Assignment) -> set[str]:
    """The hosts that have a part in a task."""
    move = assignment.migration
    hosts = {assignment.plan.server.host, *((move.source_host, move.dest_host) if move else ())}
    return {host for host in hosts if host is not None}
